"""kubectl's verbs: the same flags, words and exit codes, on documents instead of Structs so that they start fast."""
