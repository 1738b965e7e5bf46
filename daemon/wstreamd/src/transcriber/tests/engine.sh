#!/bin/sh
# Stands in for the engine: runs the test program that has started it as a server on its standard
# input, which behaves as the model's name says.
WSTREAM_TEST_ENGINE="$3" exec "/proc/$PPID/exe" --exact transcriber::tests::local::serve_as_engine
