package main

import (
	"fmt"
	"strconv"
	"strings"
)

// numbers is a flag that holds a list of numbers, written as 64,128 or 64 128, or as Python prints a
// list, [64, 128].
type numbers[T int | float64] struct{ to *[]T }

// list marks the flag for the command line, which gathers the numbers that follow it.
func (numbers[T]) list() {}

func (n *numbers[T]) Set(text string) error {
	*n.to = nil
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", []", r) }) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || float64(T(v)) != v {
			return fmt.Errorf("%q is not a list of numbers", text)
		}
		*n.to = append(*n.to, T(v))
	}
	return nil
}

func (n *numbers[T]) String() string {
	if n.to == nil {
		return ""
	}
	fields := make([]string, len(*n.to))
	for i, v := range *n.to {
		fields[i] = fmt.Sprint(v)
	}
	return strings.Join(fields, ",")
}

// Get returns the list.
func (n *numbers[T]) Get() any { return *n.to }
