package evaluate

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ModelMeta is mteb's description of a model (mteb/models/model_meta.py), with the keys
// and the order of the model_meta.json that mteb 2.26 writes. A nil or NaN-like absent
// value is null. Loading results needs Name (organization/model) and Revision.
type ModelMeta struct {
	LoaderKwargs        map[string]any    `json:"loader_kwargs"`
	Name                string            `json:"name"`
	Revision            string            `json:"revision"`
	ReleaseDate         *string           `json:"release_date"` // YYYY-MM-DD
	Languages           []string          `json:"languages"`    // "eng-Latn"
	Parameters          *int64            `json:"n_parameters"`
	ActiveParameters    *int64            `json:"n_active_parameters_override"`
	EmbeddingParameters *int64            `json:"n_embedding_parameters"`
	MemoryUsageMB       *float64          `json:"memory_usage_mb"`
	MaxTokens           *float64          `json:"max_tokens"`
	EmbedDim            *int              `json:"embed_dim"`
	License             *string           `json:"license"`
	OpenWeights         *bool             `json:"open_weights"`
	PublicTrainingCode  *string           `json:"public_training_code"`
	PublicTrainingData  *string           `json:"public_training_data"`
	Framework           []string          `json:"framework"` // of a fixed set; "ONNX" is in it
	Reference           *string           `json:"reference"`
	Similarity          string            `json:"similarity_fn_name"` // "cosine" or "dot"
	UseInstructions     *bool             `json:"use_instructions"`
	TrainingDatasets    []string          `json:"training_datasets"`
	AdaptedFrom         *string           `json:"adapted_from"`
	SupersededBy        *string           `json:"superseded_by"`
	Modalities          []string          `json:"modalities"`
	ModelType           []string          `json:"model_type"`
	Citation            *string           `json:"citation"`
	Contacts            []string          `json:"contacts"`
	ExperimentKwargs    map[string]string `json:"experiment_kwargs"`
	OutputDtypes        []string          `json:"output_dtypes"`
	ExtraRequirements   []string          `json:"extra_requirements_groups"`
	Loader              *string           `json:"loader"`
	IsCrossEncoder      bool              `json:"is_cross_encoder"`
}

// completed fills what mteb requires to be there.
func (m ModelMeta) completed() ModelMeta {
	if m.LoaderKwargs == nil {
		m.LoaderKwargs = map[string]any{}
	}
	if !strings.Contains(m.Name, "/") {
		m.Name = "local/" + m.Name
	}
	if m.Revision == "" {
		m.Revision = "no_revision_available"
	}
	if m.Framework == nil {
		m.Framework = []string{"ONNX"}
	}
	if m.Similarity == "" {
		m.Similarity = "cosine"
	}
	if m.Modalities == nil {
		m.Modalities = []string{"text"}
	}
	if m.ModelType == nil {
		m.ModelType = []string{"dense"}
	}
	return m
}

func (m ModelMeta) write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "    ")
	return e.Encode(m)
}

// experimentName names the folder of a variant as mteb does: key_value pairs, sorted,
// joined by "__"; a hash where that is too long.
func experimentName(kwargs map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(kwargs)) {
		value := strings.Map(func(r rune) rune {
			if strings.ContainsRune("<>:\"|?*\\/\x00", r) {
				return '_'
			}
			return r
		}, kwargs[key])
		pairs = append(pairs, key+"_"+value)
	}
	name := strings.Join(pairs, "__")
	if len(name) > 200 || strings.ContainsAny(name, "<>:\"|?*\\/\x00") {
		return fmt.Sprintf("exp_%x", sha256.Sum256([]byte(name)))[:20]
	}
	return name
}

// runSettings is one line of mteb's run_settings.jsonl: what a task was run with.
type runSettings struct {
	Task         string            `json:"task"`
	Splits       []string          `json:"splits"`
	Version      map[string]string `json:"version"`
	EncodeKwargs map[string]any    `json:"encode_kwargs"`
	Subsets      []string          `json:"subsets"`
}

// mergeRunSettings writes a line to run_settings.jsonl in place of an older one of the
// same task and splits; the other lines stay as they are.
func mergeRunSettings(dir string, s runSettings) error {
	path := filepath.Join(dir, "run_settings.jsonl")
	var kept []string
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read run settings: %w", err)
	}
	for text := range strings.Lines(string(old)) {
		text = strings.TrimSpace(text)
		var o runSettings
		same := json.Unmarshal([]byte(text), &o) == nil && o.Task == s.Task && slices.Equal(o.Splits, s.Splits)
		if text != "" && !same {
			kept = append(kept, text)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write run settings: %w", err)
	}
	kept = append(kept, string(text))
	return writeFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(kept, "\n")+"\n")
		return err
	})
}
