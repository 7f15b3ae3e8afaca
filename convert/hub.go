package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"graft/convert/pickle"
	"graft/convert/safetensors"
)

// Hub finds models of the Hugging Face hub: in the cache that the Hugging Face libraries share,
// else over the network, from where they go into that cache in its own layout
// (huggingface_hub, "Understand caching").
type Hub struct {
	Endpoint string // "" is https://huggingface.co
	Token    string // sent to Endpoint alone
	CacheDir string // the folder of models--org--name
	Offline  bool
	Client   *http.Client                         // nil: http.DefaultClient
	Progress func(file string, done, total int64) // called as files arrive; total is -1 where it is not known
	Extra    []string                             // further files to fetch, by name; the first is needed, the others where they are there
}

// HubFromEnv is the hub as the variables of the Hugging Face libraries set it up: HF_ENDPOINT,
// HF_TOKEN (else the file that their login writes), HF_HUB_CACHE, HF_HOME and HF_HUB_OFFLINE.
func HubFromEnv(getenv func(string) string) *Hub {
	home := getenv("HF_HOME")
	if home == "" {
		cache := getenv("XDG_CACHE_HOME")
		if cache == "" {
			cache = filepath.Join(getenv("HOME"), ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	h := &Hub{Endpoint: getenv("HF_ENDPOINT"), Token: getenv("HF_TOKEN"), CacheDir: getenv("HF_HUB_CACHE")}
	if h.CacheDir == "" {
		h.CacheDir = filepath.Join(home, "hub")
	}
	if h.Token == "" {
		if raw, err := os.ReadFile(filepath.Join(home, "token")); err == nil {
			h.Token = strings.TrimSpace(string(raw))
		}
	}
	h.Offline = slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(getenv("HF_HUB_OFFLINE")))
	return h
}

var (
	repoName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$`)
	revision = regexp.MustCompile(`^[A-Za-z0-9][\w./-]*$`)
	commit   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Fetch returns the folder of org/name[@revision] in the cache, after downloading what it lacks.
func (h *Hub) Fetch(ctx context.Context, name string) (string, error) {
	repo, rev, given := strings.Cut(name, "@")
	if !given {
		rev = "main"
	}
	if !repoName.MatchString(repo) || !revision.MatchString(rev) || strings.Contains(rev, "..") {
		return "", fmt.Errorf("%q is not a model's name: want org/name or org/name@revision", name)
	}
	c := h.repo(ctx, modelKind, repo)
	if dir := c.cached(rev); dir != "" {
		return dir, nil
	}
	if h.Offline {
		return "", fmt.Errorf("model %q is not in the cache %s, and HF_HUB_OFFLINE is set", name, h.CacheDir)
	}
	dir, err := c.download(rev)
	if err != nil {
		return "", fmt.Errorf("fetch %q from %s: %w", name, h.endpoint(), err)
	}
	return dir, nil
}

func (h *Hub) endpoint() string {
	if h.Endpoint == "" {
		return "https://huggingface.co"
	}
	return strings.TrimSuffix(h.Endpoint, "/")
}

// hubKind is a kind of repository: what it is called, its part of the addresses, and of the cache.
type hubKind struct{ what, api, path, cache string }

var (
	modelKind   = hubKind{"model", "/api/models/", "/", "models--"}
	datasetKind = hubKind{"data set", "/api/datasets/", "/datasets/", "datasets--"}
)

// hubRepo is one repository of the hub and its folder in the cache.
type hubRepo struct {
	*Hub
	hubKind
	ctx  context.Context
	repo string
	dir  string
}

func (h *Hub) repo(ctx context.Context, kind hubKind, name string) *hubRepo {
	return &hubRepo{Hub: h, hubKind: kind, ctx: ctx, repo: name, dir: filepath.Join(h.CacheDir, kind.cache+strings.ReplaceAll(name, "/", "--"))}
}

// snapshot is where the cache has a revision, a branch or a commit, if it has it.
func (c *hubRepo) snapshot(rev string) string {
	sha := rev
	if raw, err := os.ReadFile(filepath.Join(c.dir, "refs", filepath.FromSlash(rev))); err == nil {
		sha = strings.TrimSpace(string(raw))
	}
	return filepath.Join(c.dir, "snapshots", sha)
}

// cached is the snapshot of a revision, "" where it is not there or lacks what a model needs.
func (c *hubRepo) cached(rev string) string {
	dir := c.snapshot(rev)
	sha := filepath.Base(dir)
	has := func(name string) bool { return exists(filepath.Join(dir, name)) }
	if commit.MatchString(sha) && IsAdapter(dir) && slices.ContainsFunc(adapterFiles, has) && complete(dir) {
		return dir
	}
	if !commit.MatchString(sha) || !has("config.json") && !has(paddleConfigFile) {
		return ""
	}
	if len(c.Extra) > 0 && !exists(filepath.Join(dir, filepath.FromSlash(c.Extra[0]))) {
		return ""
	}
	if exists(filepath.Join(dir, "onnx", "model.onnx")) || exists(filepath.Join(dir, "model.onnx")) {
		return dir
	}
	if !hasCheckpoint(dir) || !complete(dir) {
		return ""
	}
	return dir
}

// complete reports whether a snapshot has all shards that its index names and all folders that
// modules.json names.
func complete(dir string) bool {
	for _, name := range []string{safetensors.IndexName, pickle.IndexName, pickle.PaddleIndexName, paddleLoRAIndex} {
		var index struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		if readJSON(dir, name, &index) != nil {
			continue
		}
		for _, shard := range index.WeightMap {
			if !exists(filepath.Join(dir, shard)) {
				return false
			}
		}
	}
	_, err := readModules(dir)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

// download fetches the files of a revision that a model is made of.
func (c *hubRepo) download(rev string) (string, error) {
	sha, names, err := c.list(rev)
	if err != nil {
		return "", err
	}
	files := c.wanted(names)
	if len(files) == 0 {
		return "", errors.New("the repository holds no model")
	}
	if len(c.Extra) > 0 && !slices.Contains(files, c.Extra[0]) {
		return "", fmt.Errorf("the repository has no file %s", c.Extra[0])
	}
	return c.place(rev, sha, files)
}

// list asks for the commit of a revision and its files.
func (c *hubRepo) list(rev string) (sha string, names []string, err error) {
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := c.getJSON(c.api+c.repo+"/revision/"+url.PathEscape(rev), &info); err != nil {
		return "", nil, err
	}
	if !commit.MatchString(info.SHA) {
		return "", nil, fmt.Errorf("the hub names %q as the commit of %q", info.SHA, rev)
	}
	for _, s := range info.Siblings {
		if filepath.IsLocal(filepath.FromSlash(s.Name)) {
			names = append(names, s.Name)
		}
	}
	return info.SHA, names, nil
}

// place fetches files of a commit that the cache lacks, and notes that it is what rev names.
func (c *hubRepo) place(rev, sha string, files []string) (string, error) {
	snapshot := filepath.Join(c.dir, "snapshots", sha)
	for _, name := range files {
		if err := c.file(snapshot, sha, name); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	ref := filepath.Join(c.dir, "refs", filepath.FromSlash(rev))
	if err := os.MkdirAll(filepath.Dir(ref), 0o777); err != nil {
		return "", err
	}
	return snapshot, os.WriteFile(ref, []byte(sha), 0o666)
}

var (
	sideFile = regexp.MustCompile(`^(config|model_config|modules|adapter_config|lora_config|` +
		`config_sentence_transformers|sentence_bert_config)\.json$|^\d+_\w+/(config\.json|model\.safetensors|pytorch_model\.bin)$`)
	safetensorsFile = regexp.MustCompile(`^(model|adapter_model|peft_model)(-\d+-of-\d+)?\.safetensors(\.index\.json)?$`)
	pickleFile      = regexp.MustCompile(`^(pytorch_model|adapter_model)(-\d+-of-\d+)?\.bin(\.index\.json)?$`)
	paddleFile      = regexp.MustCompile(`^(model_state|lora_model_state)(-\d+-of-\d+)?\.pdparams(\.index\.json)?$`)
	onnxModelFile   = regexp.MustCompile(`^(onnx/)?model\.onnx([._]data)?$`)
)

// wanted chooses among a repository's files: what stands beside weights, and the first kind of
// weights that is there.
func (c *hubRepo) wanted(names []string) []string {
	matching := func(re *regexp.Regexp) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !re.MatchString(name) })
	}
	files := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !sideFile.MatchString(name) && !slices.Contains(tokenizerFiles, name)
	})
	for _, kind := range []*regexp.Regexp{safetensorsFile, pickleFile, paddleFile, onnxModelFile} {
		if weights := matching(kind); len(weights) > 0 {
			files = append(files, weights...)
			break
		}
	}
	for _, name := range c.Extra {
		if slices.Contains(names, name) && !slices.Contains(files, name) {
			files = append(files, name)
		}
	}
	return files
}

// request asks the hub; status codes from 400 on are errors that say what to do.
func (c *hubRepo) request(client *http.Client, method, address string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(c.ctx, method, c.endpoint()+address, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	req.Header.Set("User-Agent", "graft")
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	r, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if r.StatusCode < 400 {
		return r, nil
	}
	r.Body.Close()
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s: the %s is not public or does not exist; set HF_TOKEN to a token that may read it", r.Status, c.what)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: no such %s, revision or file", r.Status, c.what)
	}
	return nil, errors.New(r.Status)
}

func (c *hubRepo) client() *http.Client {
	if c.Client != nil {
		return c.Client
	}
	return http.DefaultClient
}

// maxInfo bounds what is read of the hub's description of a model.
const maxInfo = 64 << 20

func (c *hubRepo) getJSON(address string, v any) error {
	r, err := c.request(c.client(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return json.NewDecoder(io.LimitReader(r.Body, maxInfo)).Decode(v)
}

// escape makes a path in a URL of a file's name.
func escape(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return path.Join(parts...)
}
