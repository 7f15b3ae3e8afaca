package ort

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// bindingPrefixes are what onnxruntime_go puts before ONNX Runtime's own text.
var bindingPrefixes = []string{
	"Platform-specific initialization failed: ",
	"Error creating C session from file: ",
	"Error creating C session: ",
	"Error running network: ",
	"Error creating ORT environment: ",
	"ORT API error creating tensor: ",
}

// sourcePosition is what ONNX Runtime's C++ puts before a message: file, line
// and signature of the function, and its error code.
var sourcePosition = regexp.MustCompile(`/\S+\.(?:cc|h|cpp|hpp|cu|cuh):\d+ [^()]*\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)?(?: \[with [^\]]*\])? |\[ONNXRuntimeError\] : \d+ : \w+ : `)

// openVINOPosition is the source position that OpenVINO puts on lines of its
// own before a message.
var openVINOPosition = regexp.MustCompile(`Exception from \S+:\d+:\s*`)

// apiVersionError is how the binding reports a library that does not serve its
// API version.
const apiVersionError = "Error setting ORT API base"

// cpuFallbackError is how ONNX Runtime speaks of nodes that the provider leaves.
const cpuFallbackError = "fallback to CPU EP has been explicitly disabled"

// readable turns an error of the binding into one line for people: no C++
// source positions, no stack trace.
func readable(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, p := range bindingPrefixes {
		text = strings.TrimPrefix(text, p)
	}
	if strings.HasPrefix(text, apiVersionError) {
		return fmt.Errorf("onnxruntime: the library is too old: it does not offer API version %d (version 1.%d or newer does)", apiVersion, apiVersion)
	}
	if strings.Contains(text, cpuFallbackError) {
		return errors.New("onnxruntime: the provider does not run all of the graph")
	}
	text = openVINOPosition.ReplaceAllString(strings.TrimSpace(text), "")
	lines := strings.Split(text, "\n")
	first := strings.TrimSpace(sourcePosition.ReplaceAllString(lines[0], ""))
	for _, line := range lines[1:] {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "index: ") || strings.HasSuffix(first, ":") {
			first += " " + line
		}
	}
	return errors.New("onnxruntime: " + first)
}
