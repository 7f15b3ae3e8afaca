// Package ort runs ONNX models through ONNX Runtime: the library is opened at
// run time, providers are rows of a table that say what they need and what is
// missing, and sessions take tensors whose memory is reused between runs.
//
// A process opens one ONNX Runtime library. [Load] chooses it; [Open] loads
// the one that its provider needs if none is open yet.
package ort
