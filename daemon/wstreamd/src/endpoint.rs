//! Where utterances begin and end: voiced and unvoiced frames in, starts and ends out. No sound
//! device, no clock, no thread.
