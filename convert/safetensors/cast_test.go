package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

// halfValue is the value of binary16 bits by the formula of IEEE 754, apart
// from NaNs.
func halfValue(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent, fraction := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

func isNaN16(h uint16) bool { return h>>10&31 == 31 && h&1023 != 0 }

func cast(t *testing.T, data []byte, from, to string) []byte {
	t.Helper()
	r, err := Cast(bytes.NewReader(data), from, to)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWidenEveryF16(t *testing.T) {
	var all []byte
	for h := range 1 << 16 {
		all = binary.LittleEndian.AppendUint16(all, uint16(h))
	}
	wide := cast(t, all, F16, F32)
	for h := range 1 << 16 {
		bits := binary.LittleEndian.Uint32(wide[4*h:])
		v := math.Float32frombits(bits)
		if isNaN16(uint16(h)) {
			if v == v || bits>>31 != uint32(h>>15) || bits>>13&1023 != uint32(h&1023) {
				t.Errorf("%#04x: NaN became %#08x", h, bits)
			}
			continue
		}
		want := math.Float32bits(float32(halfValue(uint16(h))))
		if bits != want {
			t.Errorf("%#04x: got %#08x (%g), want %#08x", h, bits, v, want)
		}
	}
	back := cast(t, wide, F32, F16)
	for h := range 1 << 16 {
		got, want := binary.LittleEndian.Uint16(back[2*h:]), uint16(h)
		if isNaN16(want) {
			want |= 0x200 // quiet
		}
		if got != want {
			t.Errorf("%#04x came back as %#04x", h, got)
		}
	}
}

func TestWidenEveryBF16(t *testing.T) {
	var all, want []byte
	for h := range 1 << 16 {
		all = binary.LittleEndian.AppendUint16(all, uint16(h))
		want = binary.LittleEndian.AppendUint32(want, uint32(h)<<16)
	}
	wide := cast(t, all, BF16, F32)
	if !bytes.Equal(wide, want) {
		t.Error("a bfloat16 is not the upper half of its float32")
	}
	back := cast(t, wide, F32, BF16)
	for h := range 1 << 16 {
		got, want := binary.LittleEndian.Uint16(back[2*h:]), uint16(h)
		if want&0x7fff > 0x7f80 {
			want |= 0x40 // quiet
		}
		if got != want {
			t.Errorf("%#04x came back as %#04x", h, got)
		}
	}
}

// Every midpoint between neighbouring float16 values goes to the even one,
// and the float32 next to it on either side to the nearer one.
func TestRoundF16Ties(t *testing.T) {
	for h := uint16(0); h < 0x7c00; h++ {
		below, above := halfValue(h), halfValue(h+1)
		if h+1 == 0x7c00 {
			above = 65536 // where the next value would be
		}
		tie := float32((below + above) / 2)
		even := h + h&1
		for _, test := range []struct {
			v    float32
			want uint16
		}{
			{math.Nextafter32(tie, 0), h},
			{tie, even},
			{math.Nextafter32(tie, 1e9), h + 1},
		} {
			for _, sign := range []uint16{0, 0x8000} {
				v := math.Float32bits(test.v) | uint32(sign)<<16
				if got := roundF16(v); got != test.want|sign {
					t.Errorf("%g rounds to %#04x, want %#04x", math.Float32frombits(v), got, test.want|sign)
				}
			}
		}
	}
}

// numpy's float16 and ml_dtypes' bfloat16 of the same float32 values.
func TestRoundAsNumpy(t *testing.T) {
	c := mustOpen(t, "testdata/rounding.safetensors")
	values := readAll(t, c.Tensor("float32"))
	for name, dtype := range map[string]string{"float16": F16, "bfloat16": BF16} {
		want, got := readAll(t, c.Tensor(name)), cast(t, values, F32, dtype)
		for i := 0; i < len(want); i += 2 {
			if w, g := binary.LittleEndian.Uint16(want[i:]), binary.LittleEndian.Uint16(got[i:]); w != g {
				v := math.Float32frombits(binary.LittleEndian.Uint32(values[2*i:]))
				t.Errorf("%g as %s is %#04x, want %#04x", v, dtype, g, w)
			}
		}
	}
}

func TestCastF64(t *testing.T) {
	var in []byte
	values := []float64{0, math.Copysign(0, -1), 1.1, -math.Pi, 1e300, 1e-300, math.Inf(-1), math.SmallestNonzeroFloat32}
	for _, v := range values {
		in = binary.LittleEndian.AppendUint64(in, math.Float64bits(v))
	}
	out := cast(t, in, F64, F32)
	for i, v := range values {
		got := math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:]))
		if math.Float32bits(got) != math.Float32bits(float32(v)) {
			t.Errorf("%g became %g", v, got)
		}
	}
}

// Pieces of any length give what one read gives, past the internal buffer too.
func TestCastInPieces(t *testing.T) {
	in := make([]byte, 2*castElements*2+6)
	for i := range in {
		in[i] = byte(i*i>>3) & 0x3f
	}
	whole := cast(t, in, F16, F32)
	if len(whole) != 2*len(in) {
		t.Fatalf("%d bytes from %d", len(whole), len(in))
	}
	r, err := Cast(iotest.OneByteReader(bytes.NewReader(in)), F16, F32)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, whole); err != nil {
		t.Error(err)
	}
}

func TestCastErrors(t *testing.T) {
	r, err := Cast(strings.NewReader("odd"), BF16, F32)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(r); len(out) != 4 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one and a half elements gave %d bytes, %v", len(out), err)
	}
	if _, err := Cast(r, I64, F32); err == nil || !strings.Contains(err.Error(), `"I64"`) {
		t.Errorf("cast of integers: %v", err)
	}
	if same, err := Cast(r, I64, I64); err != nil || same != r {
		t.Errorf("cast to the same type: %v", err)
	}
}

func TestFloat32(t *testing.T) {
	c := mustOpen(t, "testdata/mixed.safetensors")
	for _, name := range []string{"encoder.weight", "encoder.half", "encoder.brain", "wide"} {
		tensor := c.Tensor(name)
		values, err := tensor.Float32()
		if err != nil {
			t.Fatal(err)
		}
		want := cast(t, readAll(t, tensor), tensor.DType, F32)
		var got []byte
		for _, v := range values {
			got = binary.LittleEndian.AppendUint32(got, math.Float32bits(v))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: Float32 and Cast differ", name)
		}
	}
	if _, err := c.Tensor("mask").Float32(); err == nil || !strings.Contains(err.Error(), `tensor "mask"`) {
		t.Errorf("booleans as float32: %v", err)
	}
}
