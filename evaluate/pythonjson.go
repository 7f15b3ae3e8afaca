package evaluate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
)

// mteb's files are written by Python's json module. What is here writes numbers and
// strings as it does, and makes its NaN literals readable to encoding/json.

// pythonFloat formats as Python's repr of a float: the shortest form that reads back the
// same, with ".0" where integral, and NaN and Infinity as bare words.
func pythonFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote formats a JSON string in ASCII, as json.dump does by default.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r >= 0x20 && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// withoutNaN replaces the bare words NaN, Infinity and -Infinity by null, outside of
// strings; everything else is kept.
func withoutNaN(data []byte) []byte {
	out := make([]byte, 0, len(data))
	inString := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		if inString {
			out = append(out, c)
			if c == '\\' && i+1 < len(data) {
				i++
				out = append(out, data[i])
			} else if c == '"' {
				inString = false
			}
			continue
		}
		if word := notANumber(data[i:]); word > 0 {
			out = append(out, "null"...)
			i += word - 1
			continue
		}
		inString = c == '"'
		out = append(out, c)
	}
	return out
}

// notANumber returns the length of the bare word at the start of data, 0 if there is none.
func notANumber(data []byte) int {
	for _, word := range []string{"NaN", "-Infinity", "Infinity"} {
		if len(data) >= len(word) && string(data[:len(word)]) == word {
			return len(word)
		}
	}
	return 0
}

// errorWriter formats to a writer and keeps the first error.
type errorWriter struct {
	w   io.Writer
	err error
}

func (p *errorWriter) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
