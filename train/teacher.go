//go:build !lite

package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"graft/train/dataset"
	"graft/train/loss"
	"graft/train/torch"
)

// teacherDir is the folder of the output directory that keeps the teacher's vectors until the run has ended, where no
// other one was asked for.
const teacherDir = ".teacher"

// checkTeacher refuses a teacher that the model cannot learn from.
func (r *run) checkTeacher() error {
	o, t := r.options, r.hooks.Teacher
	switch {
	case o.Teacher == "":
		return nil
	case t == nil:
		return errors.New("train: the teacher was not opened")
	case o.Distill == "embedding" && t.Dim != r.model.Dim:
		return &FlagError{"teacher", fmt.Sprintf("its vectors have %d features, the model's %d: --distill embedding needs as many; score compares similarities, whatever the width", t.Dim, r.model.Dim)}
	}
	return nil
}

// teach has the teacher encode all texts.
func (r *run) teach(ctx context.Context) error {
	o, t := r.options, r.hooks.Teacher
	if o.Teacher == "" {
		return nil
	}
	dir := o.CacheDir
	if dir == "" {
		dir = filepath.Join(o.OutputDir, teacherDir)
	}
	return r.data.Teach(ctx, r.tokens, dataset.TeachOptions{
		Open: t.Open, Key: t.Hash, Dim: t.Dim, QueryPrompt: t.QueryPrompt, PassagePrompt: t.PassagePrompt,
		QueryLength: o.QueryMaxLen, PassageLength: o.PassageMaxLen, Dir: dir, Warn: r.hooks.Warn,
		Progress: func(done, total int) {
			r.hooks.Progress(Progress{Note: fmt.Sprintf("teacher: %d of %d texts", done, total)})
		},
	})
}

// forgetTeacher removes the vectors that are not to be kept.
func (r *run) forgetTeacher() error {
	return os.RemoveAll(filepath.Join(r.options.OutputDir, teacherDir))
}

// course is what a run's course depends on, of a teacher.
func (t *Teacher) course() string {
	return fmt.Sprintf("%s, prompts %q and %q", t.Hash, t.QueryPrompt, t.PassagePrompt)
}

// teacherVectors puts the teacher's vectors into a loss's input, and says which texts are the same.
func (t *step) teacherVectors(s *torch.Scope, b dataset.Batch, in *loss.Input) error {
	var queries, passages []float32
	own := make([]uint64, len(b.Groups))
	for i, g := range b.Groups {
		if g.TeacherQuery == nil {
			return fmt.Errorf("row %d has no teacher's vectors", g.Row+1)
		}
		own[i] = g.QueryHash
		queries = append(queries, g.TeacherQuery...)
		for _, p := range g.TeacherPassages[:in.Group] {
			passages = append(passages, p...)
		}
	}
	width := int64(len(queries) / len(b.Groups))
	in.TeacherQueries = s.ToDevice(s.Float32s(queries, int64(len(b.Groups)), width), t.device)
	in.TeacherPassages = s.ToDevice(s.Float32s(passages, int64(len(b.Groups)*in.Group), width), t.device)
	hashes, err := t.passageHashes(s, b, in.Group)
	if err != nil {
		return err
	}
	in.Same = loss.SameTexts(own, hashes)
	return nil
}

// teacherScores are those of the row, or else the similarities of the teacher's vectors over the temperature, as the
// model's own are.
func (t *step) teacherScores(g dataset.Group) []float32 {
	if g.TeacherScores != nil || g.TeacherQuery == nil {
		return g.TeacherScores
	}
	prepare := func(v []float32) []float32 {
		v = slices.Clone(v)
		if t.loss.Normalize {
			normalize(v)
		}
		return v
	}
	query, scores := prepare(g.TeacherQuery), make([]float32, len(g.TeacherPassages))
	for i, p := range g.TeacherPassages {
		sum := 0.0
		for j, x := range prepare(p) {
			sum += float64(x) * float64(query[j])
		}
		scores[i] = float32(sum / t.loss.Temperature)
	}
	return scores
}
