package runtime

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
)

// latencyTexts is how many texts a latency request runs one by one.
const latencyTexts = 32

// Serve answers a benchmark's requests on in until it ends. load is the time that opening e took.
func Serve(ctx context.Context, e *Encoder, texts []string, o EncodeOptions, load time.Duration, in io.Reader, out io.Writer) error {
	s := &server{e: e, texts: texts, options: o}
	answers := json.NewEncoder(out)
	note := fmt.Sprintf("%s %s", e.Provider, e.Precision)
	if err := answers.Encode(reply{LoadSeconds: load.Seconds(), Note: note}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		verb, argument, _ := strings.Cut(lines.Text(), " ")
		answer, ok := answersTo[verb]
		r, err := reply{}, fmt.Errorf("unknown request %q", verb)
		if ok {
			r, err = answer(s, ctx, argument)
		}
		if err != nil {
			r.Error = err.Error()
		}
		if err := answers.Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// server is a contender that answers.
type server struct {
	e       *Encoder
	texts   []string
	options EncodeOptions
	tokens  int64 // of all texts; 0: not counted yet
}

// answersTo are the requests.
var answersTo = map[string]func(s *server, ctx context.Context, argument string) (reply, error){
	"throughput": (*server).throughput,
	"latency":    (*server).latency,
	"vectors":    (*server).vectors,
}

func (s *server) throughput(ctx context.Context, _ string) (reply, error) {
	if s.tokens == 0 { // in the warm-up, outside the measured time
		var err error
		if s.tokens, err = s.e.countTokens(ctx, s.texts, s.options); err != nil {
			return reply{}, err
		}
	}
	start := time.Now()
	_, err := s.e.Encode(ctx, s.texts, s.options)
	return reply{Seconds: time.Since(start).Seconds(), Docs: len(s.texts), Tokens: s.tokens}, err
}

func (s *server) latency(ctx context.Context, _ string) (reply, error) {
	var r reply
	for _, t := range s.texts[:min(latencyTexts, len(s.texts))] {
		start := time.Now()
		if _, err := s.e.Encode(ctx, []string{t}, s.options); err != nil {
			return r, err
		}
		r.Latencies = append(r.Latencies, time.Since(start).Seconds())
	}
	return r, nil
}

func (s *server) vectors(ctx context.Context, file string) (reply, error) {
	v, err := s.e.Encode(ctx, s.texts, s.options)
	if err != nil {
		return reply{}, err
	}
	return reply{Docs: len(s.texts)}, os.WriteFile(file, bytesOf(v.Data), 0o600)
}

// countTokens is how many real tokens the texts have after truncation.
func (e *Encoder) countTokens(ctx context.Context, texts []string, o EncodeOptions) (int64, error) {
	rows, err := e.tokenize(ctx, texts, o)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, r := range rows {
		n += int64(len(r.IDs))
	}
	return n, nil
}

// bytesOf and float32sOf convert between numbers and their little-endian bytes.
func bytesOf(v []float32) []byte {
	b := make([]byte, 4*len(v))
	for i, f := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(f))
	}
	return b
}

func float32sOf(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
