"""One module for each measured side; `interface` says what an SDK has to offer to be measured."""
