package ort

import (
	"errors"
	"testing"
)

func TestReadable(t *testing.T) {
	for text, want := range map[string]string{
		"Platform-specific initialization failed: Error setting ORT API base: 2": "onnxruntime: the library is too old: it does not offer API version 24 (version 1.24 or newer does)",

		"Error creating C session from file: Load model from m.onnx failed:Protobuf parsing failed.": "onnxruntime: Load model from m.onnx failed:Protobuf parsing failed.",

		"Error running network: Non-zero status code returned while running Add node. Name:'Add_6' Status Message: /onnxruntime/onnxruntime/core/providers/cpu/math/element_wise_ops.h:560 void onnxruntime::BroadcastIterator::Append(ptrdiff_t, ptrdiff_t) axis == 1 || axis == largest was false. 16 by 17\n": "onnxruntime: Non-zero status code returned while running Add node. Name:'Add_6' Status Message: axis == 1 || axis == largest was false. 16 by 17",

		"Error running network: Got invalid dimensions for input: x for the following indices\n index: 0 Got: 3 Expected: 2\n Please fix either the inputs/outputs or the model.": "onnxruntime: Got invalid dimensions for input: x for the following indices index: 0 Got: 3 Expected: 2",

		"Exception during initialization: [OpenVINO-EP] Exception while Loading Network: Exception from src/inference/src/cpp/core.cpp:114:\nException from src/plugins/x.cpp:9:\nUnsupported property X\n": "onnxruntime: Exception during initialization: [OpenVINO-EP] Exception while Loading Network: Unsupported property X",
	} {
		if got := readable(errors.New(text)).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if readable(nil) != nil {
		t.Error("nil became an error")
	}
}
