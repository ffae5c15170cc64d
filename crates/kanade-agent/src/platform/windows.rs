//! Windows: job objects, access lists, code pages.
