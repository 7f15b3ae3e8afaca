package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// blob is what the hub says of a file before it is fetched.
type blob struct {
	etag string // the name of the file's content in the cache: sha-256 of large files, git's hash of others
	size int64  // -1: not known
}

var (
	etagName   = regexp.MustCompile(`^[0-9a-zA-Z_-]{8,128}$`)
	sha256Name = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// file makes sure that a snapshot has a file: a link into blobs, where its content lies.
func (c *hubRepo) file(snapshot, sha, name string) error {
	link := filepath.Join(snapshot, filepath.FromSlash(name))
	if exists(link) {
		return nil
	}
	address := c.path + c.repo + "/resolve/" + sha + "/" + escape(name)
	b, err := c.head(address)
	if err != nil {
		return err
	}
	content := filepath.Join(c.dir, "blobs", b.etag)
	if !exists(content) {
		if err := c.fetch(name, address, b, content); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o777); err != nil {
		return err
	}
	target, err := filepath.Rel(filepath.Dir(link), content)
	if err != nil {
		return err
	}
	if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
		return os.Link(content, link) // where symbolic links are not allowed
	}
	return nil
}

// head asks for a file's content hash and size. Large files are answered by a redirect to another
// host, whose headers say both.
func (c *hubRepo) head(address string) (blob, error) {
	client := *c.client()
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	r, err := c.request(&client, http.MethodHead, address, http.Header{"Accept-Encoding": {"identity"}})
	if err != nil {
		return blob{}, err
	}
	r.Body.Close()
	first := func(keys ...string) string {
		for _, key := range keys {
			if v := r.Header.Get(key); v != "" {
				return v
			}
		}
		return ""
	}
	b := blob{etag: strings.Trim(strings.TrimPrefix(first("X-Linked-Etag", "Etag"), "W/"), `"`), size: -1}
	if n, err := strconv.ParseInt(first("X-Linked-Size", "Content-Length"), 10, 64); err == nil && (r.StatusCode < 300 || r.Header.Get("X-Linked-Size") != "") {
		b.size = n
	}
	if !etagName.MatchString(b.etag) {
		return b, fmt.Errorf("the hub gives it the entity tag %q", b.etag)
	}
	return b, nil
}

// fetch downloads a file's content, going on where an earlier try ended. The content gets its
// name when all of it is there and has the hash that it is called by.
func (c *hubRepo) fetch(name, address string, b blob, content string) error {
	if err := os.MkdirAll(filepath.Dir(content), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(content+".incomplete", os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	// Another process may fetch the same: one goes on, the other finds it done.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %q: %w", f.Name(), err)
	}
	if exists(content) {
		return nil
	}
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if have != b.size {
		if err := c.receive(name, address, b, f, have); err != nil {
			return err
		}
	}
	if err := b.check(f); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), content)
}

// receive appends to f what lies behind the first have bytes.
func (c *hubRepo) receive(name, address string, b blob, f *os.File, have int64) error {
	header := http.Header{"Accept-Encoding": {"identity"}}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	r, err := c.request(c.client(), http.MethodGet, address, header)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusPartialContent {
		have = 0
	}
	if err := f.Truncate(have); err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	progress := &progressWriter{file: name, done: have, total: b.size, report: c.Progress}
	if _, err := io.Copy(io.MultiWriter(f, progress), r.Body); err != nil {
		return err
	}
	if b.size >= 0 && progress.done != b.size {
		return fmt.Errorf("%d bytes came, %d were announced", progress.done, b.size)
	}
	return f.Sync()
}

// check compares a large file with the hash that it is called by.
func (b blob) check(f *os.File) error {
	if !sha256Name.MatchString(b.etag) {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != b.etag {
		return fmt.Errorf("its SHA-256 is %s, the hub's is %s", got, b.etag)
	}
	return nil
}

type progressWriter struct {
	file        string
	done, total int64
	report      func(file string, done, total int64)
}

func (p *progressWriter) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if p.report != nil {
		p.report(p.file, p.done, p.total)
	}
	return len(b), nil
}
