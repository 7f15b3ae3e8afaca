package torch

import (
	"fmt"
	"strconv"
	"strings"
)

// DeviceKind is a family of devices.
type DeviceKind int

// The kinds of devices.
const (
	CPU DeviceKind = iota
	CUDA
)

// Device is where a tensor lives. The zero value is the CPU.
type Device struct {
	Kind  DeviceKind
	Index int // of the CUDA device; 0 on the CPU
}

// String is the device's name as PyTorch writes it: "cpu", "cuda:0".
func (d Device) String() string {
	if d.Kind == CPU {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(d.Index)
}

// number is libtch's number of the device: -1 for the CPU.
func (d Device) number() int32 {
	if d.Kind == CPU {
		return -1
	}
	return int32(d.Index)
}

// parseDevice reads "cpu", "cuda" and "cuda:N".
func parseDevice(s string) (Device, error) {
	name, index, indexed := strings.Cut(s, ":")
	switch {
	case s == "cpu":
		return Device{}, nil
	case name == "cuda" && !indexed:
		return Device{Kind: CUDA}, nil
	case name == "cuda":
		if i, err := strconv.Atoi(index); err == nil && i >= 0 {
			return Device{Kind: CUDA, Index: i}, nil
		}
	}
	return Device{}, fmt.Errorf("device %q: want auto, cpu, cuda or cuda:N", s)
}
