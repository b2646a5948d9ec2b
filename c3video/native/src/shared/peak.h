// SPDX-License-Identifier: MIT
#pragma once

namespace c3 {

// int16 multiply-adds a second of one core, measured; takes some milliseconds.
using Peak = double();

}  // namespace c3
