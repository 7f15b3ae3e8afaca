//go:build !amd64

package quantize

// Without vector instructions these are never called.
const vectors = false

func extremes32(*[blockSize]float32) (uint32, int32) { return 0, 0 }

func encode32(*[blockSize]uint8, *[blockSize]float32, float32, float32, int32) {}
