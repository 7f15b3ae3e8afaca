package runtime

import (
	_ "embed"
	"strings"
)

// sample holds one text a line: short and long, prose, code and several scripts.
//
//go:embed sample.txt
var sample string

// SampleTexts are the built-in texts that verify and bench use where none are given.
func SampleTexts() []string { return strings.Split(strings.TrimSuffix(sample, "\n"), "\n") }
