"""One module a question: parameters in, one Arrow table out."""
