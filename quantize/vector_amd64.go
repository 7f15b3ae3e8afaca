package quantize

import "golang.org/x/sys/cpu"

// vectors reports whether the processor has the instructions (AVX2) of the functions below, which do with whole blocks
// what extremes and encode do, to the bit, several times as fast.
var vectors = cpu.X86.HasAVX2

// extremes32 is the largest of the bits of w as integers without and with a sign.
//
//go:noescape
func extremes32(w *[blockSize]float32) (unsigned uint32, signed int32)

// encode32 is encode of a whole block.
//
//go:noescape
func encode32(codes *[blockSize]uint8, w *[blockSize]float32, inverse, zero float32, most int32)
