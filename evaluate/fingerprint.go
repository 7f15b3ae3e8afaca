package evaluate

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"graft/lines"
)

// fingerprint identifies a data set by its content and says how long its corpus is.
type fingerprint struct {
	hash      string // SHA-256 over the names and contents of all files, hexadecimal
	documents int    // rows of the corpus files; an estimate: blank lines and headers count
}

// fingerprintOf reads all files of a data set once.
func fingerprintOf(d *Dataset) (fingerprint, error) {
	all := sha256.New()
	f := fingerprint{}
	for _, path := range d.CorpusFiles {
		rows, err := hashFile(all, path)
		if err != nil {
			return f, fmt.Errorf("hash data set: %w", err)
		}
		f.documents += rows
	}
	for _, path := range d.OtherFiles {
		if _, err := hashFile(all, path); err != nil {
			return f, fmt.Errorf("hash data set: %w", err)
		}
	}
	f.hash = fmt.Sprintf("%x", all.Sum(nil))
	return f, nil
}

// hashFile adds a file's name and content to a hash and counts its rows on the way.
func hashFile(all io.Writer, path string) (rows int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	one := sha256.New()
	raw := io.TeeReader(f, one)
	switch {
	case strings.HasSuffix(path, ".parquet"):
		rows, err = parquetRows(path)
	case strings.HasSuffix(path, ".gz"):
		var z *gzip.Reader
		if z, err = gzip.NewReader(raw); err == nil {
			rows, err = countLines(z)
		}
	default:
		rows, err = countLines(raw)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, raw) // what the reader left
	}
	if err != nil {
		return 0, lines.In(path, err)
	}
	_, err = fmt.Fprintf(all, "%s %x\n", filepath.Base(path), one.Sum(nil))
	return rows, err
}

// countLines counts line ends, and a last line without one.
func countLines(r io.Reader) (int, error) {
	buffer := make([]byte, 1<<18)
	n, last := 0, byte('\n')
	for {
		m, err := r.Read(buffer)
		n += bytes.Count(buffer[:m], []byte("\n"))
		if m > 0 {
			last = buffer[m-1]
		}
		if err == io.EOF {
			if last != '\n' {
				n++
			}
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func parquetRows(path string) (int, error) {
	file, closeFile, err := openParquet(path)
	if err != nil {
		return 0, err
	}
	return int(file.NumRows()), closeFile()
}
