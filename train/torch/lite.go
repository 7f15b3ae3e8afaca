//go:build lite

package torch

// Version returns ErrLite.
func Version() (string, error) { return "", ErrLite }

// SelfTest returns ErrLite.
func SelfTest() error { return ErrLite }

// ParseDevice returns ErrLite.
func ParseDevice(string) (Device, error) { return Device{}, ErrLite }
