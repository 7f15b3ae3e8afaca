package evaluate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An interrupted task leaves a folder with two files, each replaced as a whole: the
// vectors of the queries, and after every chunk the rankings so far. Both carry the key
// of the settings and the data they belong to, and a checksum; a file that does not fit
// is ignored. Ids are not stored: the corpus is read again up to where it was left. A job without a key is no task's and
// leaves nothing.

const (
	queryVectorsFile = "queries.bin"
	resumeFormat     = 1
)

// makeKey hashes all that the vectors and the rankings depend on.
func (j *job) makeKey() (string, error) {
	settings := j.settings
	if settings.ModelHash != "" {
		settings.Model = "" // the same file may lie elsewhere now
	}
	data, err := json.Marshal(map[string]any{
		"format": resumeFormat, "encoder": settings, "similarity": j.Model.Similarity,
		"task": j.task.Name, "split": j.task.Split, "data": j.print.hash, "max_documents": j.MaxDocuments,
		"ignore_identical_ids": j.task.IgnoreIdenticalIDs, "top_k": j.TopK,
		"memory_budget": j.MemoryBudget, "chunk_documents": j.ChunkDocuments,
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(data)), nil
}

func (j *job) resumeFolder() string {
	return filepath.Join(j.folder("runs"), j.task.Name+".resume")
}

// resumeHeader starts both files. Sizes in it are checked against the options and the
// length of the file before anything is allocated.
type resumeHeader struct {
	Key                        [64]byte
	Rows, Dim                  uint64 // of the query vectors
	Documents, Empty, Repeated uint64
	Chunks, Complete           uint64
	Seconds                    float64
}

func (j *job) header() resumeHeader {
	h := resumeHeader{
		Documents: uint64(j.counts.Documents), Empty: uint64(j.counts.Empty), Repeated: uint64(j.counts.Repeated),
		Chunks: uint64(j.chunks), Seconds: j.seconds(),
	}
	if j.complete {
		h.Complete = 1
	}
	copy(h.Key[:], j.key)
	return h
}

// resumed is where an interrupted run stopped.
type resumed struct {
	heaps    []topK
	counts   CorpusCounts
	chunks   int
	seconds  float64
	complete bool
}

// rankingsFile is the name of a shard's file of rankings.
func rankingsFile(shard, shards int) string {
	if shards < 2 {
		return "rankings.bin"
	}
	return fmt.Sprintf("rankings-%d-of-%d.bin", shard, shards)
}

// openResume reads where an interrupted run of this shard stopped; nil if there was none.
func (j *job) openResume() (*resumed, error) {
	r, err := j.readRankings(j.Shard)
	if r != nil {
		// Not among the task's warnings, which its files repeat: they must not tell of the interruption.
		j.Warn(fmt.Sprintf("%s: continuing after %d documents of an interrupted run", j.task.Name, r.counts.Documents))
	}
	return r, err
}

// readRankings reads the rankings of a shard; nil if there are none that fit.
func (j *job) readRankings(shard int) (*resumed, error) {
	h, body, err := j.readResumeFile(rankingsFile(shard, j.Shards))
	if err != nil || body == nil {
		return nil, err
	}
	r := &resumed{
		counts: CorpusCounts{int(h.Documents), int(h.Empty), int(h.Repeated)},
		chunks: int(h.Chunks), seconds: h.Seconds, complete: h.Complete == 1,
	}
	for range j.data.Queries {
		var n uint32
		if len(body) < 4 {
			return nil, nil
		}
		n, body = binary.LittleEndian.Uint32(body), body[4:]
		if uint64(n) > uint64(j.TopK) || uint64(len(body)) < 8*uint64(n) {
			return nil, nil
		}
		t := topK{make([]float32, n), make([]position, n)}
		decode(body[:4*n], t.scores)
		decode(body[4*n:8*n], t.documents)
		body = body[8*n:]
		r.heaps = append(r.heaps, t)
	}
	return r, nil
}

// writeResume records the rankings after a chunk.
func (j *job) writeResume(heaps []topK) error {
	return j.writeResumeFile(rankingsFile(j.Shard, j.Shards), j.header(), func(w io.Writer) error {
		for _, h := range heaps {
			err := errors.Join(
				binary.Write(w, binary.LittleEndian, uint32(len(h.scores))),
				binary.Write(w, binary.LittleEndian, h.scores),
				binary.Write(w, binary.LittleEndian, h.documents))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// readQueryVectors returns the query vectors of an interrupted run.
func (j *job) readQueryVectors(rows int) (Matrix, bool) {
	h, body, err := j.readResumeFile(queryVectorsFile)
	if err != nil || body == nil || h.Rows != uint64(rows) || h.Dim == 0 || uint64(len(body)) != h.Rows*h.Dim*4 {
		return Matrix{}, false
	}
	m := Matrix{rows, int(h.Dim), make([]float32, len(body)/4)}
	decode(body, m.Data)
	return m, true
}

func (j *job) writeQueryVectors(m Matrix) error {
	h := j.header()
	h.Rows, h.Dim = uint64(m.Rows), uint64(m.Dim)
	return j.writeResumeFile(queryVectorsFile, h, func(w io.Writer) error {
		return binary.Write(w, binary.LittleEndian, m.Data)
	})
}

func decode(data []byte, into any) {
	// The lengths are equal, so this cannot fail.
	_ = binary.Read(bytes.NewReader(data), binary.LittleEndian, into)
}

// writeResumeFile writes header, body and the SHA-256 of both.
func (j *job) writeResumeFile(name string, h resumeHeader, body func(io.Writer) error) error {
	if j.key == "" {
		return nil
	}
	return writeFile(filepath.Join(j.resumeFolder(), name), func(w io.Writer) error {
		sum := sha256.New()
		b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
		if err := errors.Join(binary.Write(b, binary.LittleEndian, h), body(b), b.Flush()); err != nil {
			return err
		}
		_, err := w.Write(sum.Sum(nil))
		return err
	})
}

// readResumeFile returns the body of a file whose key and checksum are right, else none.
func (j *job) readResumeFile(name string) (h resumeHeader, body []byte, err error) {
	if j.key == "" {
		return h, nil, nil
	}
	data, err := os.ReadFile(filepath.Join(j.resumeFolder(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil, nil
	}
	if err != nil {
		return h, nil, fmt.Errorf("read interrupted run: %w", err)
	}
	size := binary.Size(h)
	if len(data) < size+sha256.Size {
		return h, nil, nil
	}
	body, sum := data[size:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if actual := sha256.Sum256(data[:len(data)-sha256.Size]); !bytes.Equal(sum, actual[:]) {
		return h, nil, nil
	}
	decode(data[:size], &h)
	if string(h.Key[:]) != j.key {
		return h, nil, nil
	}
	return h, body, nil
}

// dropResume removes what a finished task no longer needs.
func (j *job) dropResume() error {
	if j.KeepResume {
		return nil
	}
	return os.RemoveAll(j.resumeFolder())
}
