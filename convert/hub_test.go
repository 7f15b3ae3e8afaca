package convert_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"graft/convert"
)

const hubCommit = "0123456789abcdef0123456789abcdef01234567"

// hub is a local server with one model, org/tiny: the files of testdata/models/bert. Files of
// more than 100 kB are answered like large ones, by a redirect with the linked headers.
type hub struct {
	*httptest.Server
	dir     string
	gets    map[string]int
	cut     int // bytes after which the next download of a large file breaks off; 0: never
	corrupt bool
	token   string
}

func newHub(t *testing.T) *hub {
	h := &hub{dir: "../testdata/models/bert", gets: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/org/tiny/revision/main", h.info)
	mux.HandleFunc("/org/tiny/resolve/"+hubCommit+"/", h.resolve)
	mux.HandleFunc("/cdn/", h.large)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hub) info(w http.ResponseWriter, r *http.Request) {
	var siblings []map[string]string
	filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(h.dir, path)
			siblings = append(siblings, map[string]string{"rfilename": filepath.ToSlash(name)})
		}
		return err
	})
	siblings = append(siblings, map[string]string{"rfilename": "../../escape.json"})
	json.NewEncoder(w).Encode(map[string]any{"sha": hubCommit, "siblings": siblings})
}

func (h *hub) resolve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/org/tiny/resolve/"+hubCommit+"/")
	raw, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(raw)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	if len(raw) > 100_000 {
		w.Header().Set("X-Linked-Etag", etag)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(raw)))
		http.Redirect(w, r, strings.Replace(h.URL, "127.0.0.1", "localhost", 1)+"/cdn/"+name, http.StatusFound)
		return
	}
	w.Header().Set("ETag", etag[:41]+`"`) // 40 digits, as git's hashes have
	if r.Method == http.MethodGet {
		h.gets[name]++
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
}

func (h *hub) large(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/cdn/")
	raw, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h.gets[name+" "+r.Header.Get("Range")]++
	if h.corrupt {
		raw[len(raw)/2] ^= 1
	}
	if cut := h.cut; cut > 0 {
		h.cut = 0
		w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
		w.Write(raw[:cut])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
}

func (h *hub) client(t *testing.T) *convert.Hub {
	return &convert.Hub{Endpoint: h.URL, CacheDir: t.TempDir()}
}

// An adapter on the hub is fetched and found again, safetensors or pickle, and its base by its name.
func TestHubAdapter(t *testing.T) {
	for _, form := range []string{"adapter_final", "pickled"} {
		server := newHub(t)
		server.dir = t.TempDir()
		if err := os.CopyFS(server.dir, os.DirFS(filepath.Join("../testdata/lora/bert/lora", form))); err != nil {
			t.Fatal(err)
		}
		base, err := filepath.Abs("../testdata/lora/bert/init")
		if err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(server.dir, "adapter_config.json"), func(m map[string]any) { m["base_model_name_or_path"] = base })
		client := server.client(t)
		for range 2 {
			m, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client})
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			m.Close()
			if m, err = convert.Open(base, convert.OpenOptions{Hub: client, Adapter: "hf:org/tiny"}); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			m.Close()
			client.Offline = true
		}
		edit(t, filepath.Join(server.dir, "adapter_config.json"), func(m map[string]any) { m["base_model_name_or_path"] = "org/tiny" })
		if _, err := convert.Open(server.dir, convert.OpenOptions{Hub: client}); err == nil || !strings.Contains(err.Error(), "an adapter itself") {
			t.Errorf("%s: a base on the hub: %v", form, err)
		}
	}
}

// PaddleNLP's files are fetched and found again: a model in shards, one with a config of early versions, and an adapter.
func TestHubPaddle(t *testing.T) {
	for _, name := range []string{"llama", "ernie", "lora"} {
		server := newHub(t)
		server.dir = filepath.Join("../testdata/paddle", name)
		client := server.client(t)
		if name == "lora" {
			server.dir = copyDir(t, server.dir)
			base, err := filepath.Abs("../testdata/paddle/llama")
			if err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(server.dir, "lora_config.json"), func(m map[string]any) { m["base_model_name_or_path"] = base })
		}
		for range 2 {
			m, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			m.Close()
			client.Offline = true
		}
	}
}

func TestHubFetchesAndCaches(t *testing.T) {
	server := newHub(t)
	client := server.client(t)
	m, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if want := filepath.Join(client.CacheDir, "models--org--tiny", "snapshots", hubCommit); m.Dir != want {
		t.Errorf("model in %q, want %q", m.Dir, want)
	}
	if m.Modules.Prompts["query"] != "query: " || m.Tokenizer == "" {
		t.Errorf("prompts %q, tokenizer %q: side files are missing", m.Modules.Prompts, m.Tokenizer)
	}
	if server.gets["expected.json"] != 0 {
		t.Error("expected.json, which is no part of a model, was fetched")
	}
	link, err := os.Readlink(filepath.Join(m.Dir, "model.safetensors"))
	if err != nil || !strings.HasPrefix(link, filepath.Join("..", "..", "blobs")) {
		t.Errorf("model.safetensors is a link to %q (%v), want into blobs", link, err)
	}
	before := fmt.Sprint(server.gets)
	offline := *client
	offline.Offline = true
	for _, name := range []string{"org/tiny", "org/tiny@main", "org/tiny@" + hubCommit} {
		if dir, err := offline.Fetch(context.Background(), name); err != nil || dir != m.Dir {
			t.Errorf("%s offline: %q, %v", name, dir, err)
		}
	}
	if after := fmt.Sprint(server.gets); after != before {
		t.Errorf("what was cached is fetched again: %s, before %s", after, before)
	}
}

// A variant is fetched when it is asked for, into the snapshot that is there.
func TestHubVariant(t *testing.T) {
	server := newHub(t)
	server.dir, _ = save(t, "../testdata/models/bert", convert.OpenOptions{}, convert.SaveOptions{})
	m, err := convert.Open(server.dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := convert.Save(context.Background(), server.dir, m, convert.SaveOptions{Variant: "o2"}); err != nil {
		t.Fatal(err)
	}
	client := server.client(t)
	dir, err := client.Fetch(context.Background(), "org/tiny")
	if err != nil {
		t.Fatal(err)
	}
	if got := convert.Variants(dir); len(got) > 0 {
		t.Errorf("variants %q were fetched without being asked for", got)
	}
	v, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client, Variant: "o2"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Dir != dir || v.File != filepath.Join(dir, "onnx", "model_o2.onnx") {
		t.Errorf("Dir %q, File %q", v.Dir, v.File)
	}
	if _, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client, Variant: "int8"}); err == nil || !strings.Contains(err.Error(), "model_int8.onnx") {
		t.Errorf("a variant that is not there: %v", err)
	}
}

func TestHubResumes(t *testing.T) {
	server := newHub(t)
	server.cut = 70_000
	client := server.client(t)
	if _, err := client.Fetch(context.Background(), "org/tiny"); err == nil {
		t.Fatal("a download that breaks off gave no error")
	}
	dir, err := client.Fetch(context.Background(), "org/tiny")
	if err != nil {
		t.Fatal(err)
	}
	if server.gets["model.safetensors bytes=70000-"] != 1 {
		t.Errorf("the second download did not go on at byte 70000: %v", server.gets)
	}
	want, _ := os.ReadFile("../testdata/models/bert/model.safetensors")
	if got, err := os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file differs (%v)", err)
	}
}

// A download ends with the context of who opens the model, as early as the first byte, and goes on later.
func TestHubEndsWithContext(t *testing.T) {
	server := newHub(t)
	client := server.client(t)
	ctx, cancel := context.WithCancel(context.Background())
	client.Progress = func(string, int64, int64) { cancel() }
	if _, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client, Context: ctx}); !errors.Is(err, context.Canceled) {
		t.Errorf("opened with a context that ended: %v", err)
	}
	client.Progress = nil
	m, err := convert.Open("hf:org/tiny", convert.OpenOptions{Hub: client})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

func TestHubMistakes(t *testing.T) {
	for _, test := range []struct {
		name, model, want string
		change            func(s *hub, c *convert.Hub)
	}{
		{"corrupt", "org/tiny", "SHA-256", func(s *hub, c *convert.Hub) { s.corrupt = true }},
		{"unknown", "org/none", "no such model", nil},
		{"offline", "org/tiny", "HF_HUB_OFFLINE", func(s *hub, c *convert.Hub) { c.Offline = true }},
		{"private", "org/tiny", "HF_TOKEN", func(s *hub, c *convert.Hub) { s.token = "x" }},
		{"path", "../../etc", "is not a model's name", nil},
		{"revision", "org/tiny@a/../../b", "is not a model's name", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := newHub(t)
			client := server.client(t)
			if test.change != nil {
				test.change(server, client)
			}
			_, err := client.Fetch(context.Background(), test.model)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestHubTokenStaysWithTheHub(t *testing.T) {
	server := newHub(t)
	server.token = "secret"
	client := server.client(t)
	client.Token = "secret"
	// The redirect of large files leads to another host name, which must not see the token; the
	// local server then refuses it.
	_, err := client.Fetch(context.Background(), "org/tiny")
	if err == nil || !strings.Contains(err.Error(), "model.safetensors") {
		t.Errorf("error %v, want the large file refused without the token", err)
	}
}

func TestHubFromEnv(t *testing.T) {
	env := map[string]string{"HF_HOME": "/x", "HF_TOKEN": "t", "HF_ENDPOINT": "http://e/", "HF_HUB_OFFLINE": "1"}
	h := convert.HubFromEnv(func(key string) string { return env[key] })
	if h.CacheDir != filepath.Join("/x", "hub") || h.Token != "t" || !h.Offline || h.Endpoint != "http://e/" {
		t.Errorf("%+v", *h)
	}
}
