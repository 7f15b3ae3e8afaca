// Package convert turns checkpoints and model directories into graphs, and graphs into model
// directories.
//
// Open reads what a directory holds (source.go: headers only), decides what each tensor becomes
// (plan.go), and has the architecture (arch.go: the table; one file each) write its graph, ended by
// what follows the transformer (modules.go). Somebody else's ONNX file is a model too (foreign.go).
// Save writes a model directory (save.go).
package convert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/graph"
)

// Model is a text-embedding model: its graph and all that is needed to feed it.
//
// The graph takes input_ids and attention_mask, int64 [batch, sequence], and token_type_ids where
// it uses them; it gives last_hidden_state [batch, sequence, hidden] (foreign files may lack it)
// and sentence_embedding [batch, dim]. Padding on either side gives the same embedding.
type Model struct {
	Path  string // what was opened, as given
	Dir   string // the model directory
	File  string // the ONNX file that Graph was read from and still equals; "" where Graph was built or changed
	Graph *graph.Model

	Arch      *Arch           // nil where Graph came from an ONNX file of an architecture that is not known
	Config    json.RawMessage // config.json as it stands; nil where there is none
	Sizes     Sizes           // zero where Arch is nil
	Modules   Modules
	Dim       int    // features of sentence_embedding; 0: the file does not say
	Tokenizer string // path of tokenizer.json; "": none
	// TokenizerFrom says what Tokenizer was made of, where the directory has the files of a slow tokenizer alone.
	TokenizerFrom string
	Unused        []string
	Warnings      []string // what a user should know, one sentence each
	Steps         []Step   // how the model came about, from graft.json

	source *source           // the checkpoint, nil for ONNX
	prefix string            // what stands before the architecture's names in the checkpoint
	stored map[string]string // initializer -> its tensor in the checkpoint
	files  closers           // behind the weights

	changed      map[string]bool // initializers that hold other values than were opened
	parent       string          // hash of what was opened, once a weight has changed
	adapter      string          // the adapter that was merged when the model was opened; "": none
	unnormalized bool            // the graph leaves out the normalization that Modules names
	options      OpenOptions     // what the graph was built under
	begin, end   *bool           // AddBOSToken and AddEOSToken of the options
	tokenizerDir string          // where the tokenizer's files are: Dir, or a temporary folder with one that was made
	vocabulary   *Vocabulary     // the tokens that stayed when others were taken out; nil: all
}

// Close closes the files behind the graph's weights, which cannot be read any more.
func (m *Model) Close() error { return m.files.Close() }

// OpenOptions says how to read a model where its directory leaves a choice.
type OpenOptions struct {
	ONNX      bool   // take onnx/model.onnx where there is one, not the checkpoint
	Variant   string // take onnx/model_<variant>.onnx
	Tokenizer string // path of a tokenizer.json that is not in the directory

	Pooling       string            // a PoolingMode's name, several joined by "+"; "": as the directory says, else mean
	Normalize     *bool             // nil: as the directory says, else true
	MaxLength     int               // 0: as the directory says
	UpToLength    int               // replaces what the directory says, as far as the model has positions; 0: nothing
	Prompts       map[string]string // replace those of the directory, by key
	Suffixes      map[string]string // the same
	Similarity    string            // cosine or dot; "": as the directory says
	PairTitles    bool              // documents are pairs, whatever the directory says
	TaskType      int               // ernie: the task type of all tokens
	Bidirectional bool              // decoders: attend to all real tokens
	HiddenStates  bool              // add the outputs hidden_states.0 (the embeddings), .1, … (the blocks)
	Hub           *Hub              // where hf:… is found; nil: as the environment says
	Context       context.Context   // ends what is fetched; nil: context.Background()

	// Adapter is a LoRA adapter in PEFT's format to merge: a directory or hf:org/name[@revision].
	Adapter string
	// AddBOSToken and AddEOSToken, when one is set, replace what tokenizer.json puts around a text by the begin and the end token; Save
	// writes it so. Who tokenizes with the file as it is must do the same.
	AddBOSToken, AddEOSToken *bool
	// Unnormalized leaves the normalization out of the graph, as training wants it: sentence_embedding
	// is the vector before it. Modules says what the directory says, and Save writes it.
	Unnormalized bool
}

// Open reads a model: a directory with a checkpoint or an ONNX file, a bare .onnx or .gguf file, a LoRA
// adapter in PEFT's format (its base model is opened and the adapter merged), or
// hf:org/name[@revision]. Close it when its weights are not needed any more.
func Open(path string, o OpenOptions) (*Model, error) {
	m, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("read model %q: %w", path, err)
	}
	if most := m.Sizes.Positions; most > 0 && o.MaxLength > most {
		m.Close()
		return nil, fmt.Errorf("read model %q: texts of %d tokens are asked for: the model takes %d at most (max_position_embeddings in config.json)",
			path, o.MaxLength, most)
	}
	m.Path = path
	return m, nil
}

func open(path string, o OpenOptions) (*Model, error) {
	path, err := o.fetch(path)
	if err != nil {
		return nil, err
	}
	if o.Adapter != "" || IsAdapter(path) {
		return openAdapted(path, o)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errors.Unwrap(err) // the path is named already
	case !info.IsDir():
		switch strings.ToLower(filepath.Ext(path)) {
		case ".onnx":
			return openONNX(modelDir(path), path, o)
		case ".gguf":
			return openCheckpoint(path, o)
		}
		return nil, errors.New("is neither a directory nor an .onnx or .gguf file")
	}
	if file, err := onnxFile(path, o); err != nil || file != "" {
		if err != nil {
			return nil, err
		}
		return openONNX(path, file, o)
	}
	return openCheckpoint(path, o)
}

// fetch is the folder of hf:… in the cache, after downloading what it lacks, or of org/name where the cache has it and no folder is named
// so; any other path is itself.
func (o OpenOptions) fetch(path string) (string, error) {
	name, ok := strings.CutPrefix(path, "hf:")
	if !ok && (exists(path) || !hubName.MatchString(path)) {
		return path, nil
	}
	if o.Hub == nil {
		o.Hub = HubFromEnv(os.Getenv)
	}
	hub, ctx := *o.Hub, cmp.Or(o.Context, context.Background())
	if !ok { // org/name, as other libraries write it: from the cache alone, for it may be a mistyped path
		hub.Offline = true
		if dir, err := hub.Fetch(ctx, path); err == nil {
			return dir, nil
		}
		return "", fmt.Errorf("%w; on the hub it is hf:%s", fs.ErrNotExist, path)
	}
	if o.Variant != "" {
		file := "onnx/model_" + o.Variant + ".onnx"
		hub.Extra = []string{file, file + "_data", file + ".data"}
	}
	return hub.Fetch(ctx, name)
}

// modelDir is the model directory that an ONNX file belongs to: the one above onnx/, else its own.
func modelDir(file string) string {
	dir := filepath.Dir(file)
	if filepath.Base(dir) == "onnx" {
		return filepath.Dir(dir)
	}
	return dir
}

// onnxFile is the ONNX file to take from a directory, "" where the checkpoint is to be taken.
func onnxFile(dir string, o OpenOptions) (string, error) {
	if o.Variant != "" {
		file := filepath.Join(dir, "onnx", "model_"+o.Variant+".onnx")
		if !exists(file) {
			return "", fmt.Errorf("variant %q: no file %s; there are: %q", o.Variant, filepath.Join("onnx", filepath.Base(file)), Variants(dir))
		}
		return file, nil
	}
	for _, name := range []string{filepath.Join("onnx", "model.onnx"), "model.onnx"} {
		if file := filepath.Join(dir, name); exists(file) && (o.ONNX || !hasCheckpoint(dir)) {
			return file, nil
		}
	}
	return "", nil
}

// Variants names the onnx/model_<variant>.onnx files of a model directory.
func Variants(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "onnx", "model_*.onnx")) // the pattern is well-formed
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "model_"), ".onnx"))
	}
	return names
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

type closers []io.Closer

func (c closers) Close() error {
	var err error
	for _, one := range slices.Backward(c) {
		err = errors.Join(err, one.Close())
	}
	return err
}

func hasCheckpoint(dir string) bool {
	for _, name := range checkpointFiles {
		if exists(filepath.Join(dir, name)) {
			return true
		}
	}
	file, _, err := translated(dir)
	return file != "" || err != nil
}
