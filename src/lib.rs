//! hyperloom
