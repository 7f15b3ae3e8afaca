package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"graft/runtime/ort"
	"graft/runtime/tokenizer"
	"graft/train/torch"
)

func doctorCommand() *cli.Command {
	var provider string
	var asJSON bool
	return &cli.Command{
		Name: "doctor", Usage: "what native parts, devices and providers are here, and how to mend what is missing",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "provider", Destination: &provider, Hidden: true},
			jsonFlag(&asJSON),
		},
		Action: func(c *cli.Context) error {
			if provider != "" {
				return checkProvider(provider, c.App.Writer)
			}
			return doctor(c.Context, asJSON, c.App.Writer)
		},
	}
}

// finding is one line of doctor's report.
type finding struct {
	Part    string `json:"part"`
	OK      bool   `json:"ok"`
	Needed  bool   `json:"needed"` // graft does not work without it
	Version string `json:"version,omitempty"`
	Path    string `json:"path,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func doctor(ctx context.Context, asJSON bool, w io.Writer) error {
	findings := []finding{checkTokenizer(), checkTorch()}
	for _, p := range ort.Providers() {
		findings = append(findings, checkApart(ctx, p))
	}
	failed := false
	for _, f := range findings {
		failed = failed || f.Needed && !f.OK
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(map[string]any{"version": version, "native": ort.Native(), "findings": findings}); err != nil {
			return err
		}
	} else {
		printFindings(w, findings)
	}
	if failed {
		return withHint(errors.New("a part that graft needs does not work"), "run make setup, then make build")
	}
	return nil
}

func printFindings(w io.Writer, findings []finding) {
	fmt.Fprintf(w, "graft %s, %s, %s/%s, %d processors\nnative libraries: %s\n\n",
		version, goruntime.Version(), goruntime.GOOS, goruntime.GOARCH, goruntime.NumCPU(), ort.Native())
	for _, f := range findings {
		mark := "ok     "
		switch {
		case !f.OK && f.Needed:
			mark = "BROKEN "
		case !f.OK:
			mark = "absent "
		}
		fmt.Fprintf(w, "%s %-22s %s %s\n", mark, f.Part, f.Version, f.Path)
		for line := range strings.Lines(f.Problem) {
			fmt.Fprintf(w, "        %s\n", strings.TrimSpace(line))
		}
	}
}

// checkTokenizer makes a tokenizer of three words in the Rust library and uses it.
func checkTokenizer() finding {
	f := finding{Part: "tokenizers (Rust)", Needed: true}
	t, err := tokenizer.FromBytes(tokenizer.Files{Tokenizer: []byte(`{"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
		"max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "gra": 1, "##ft": 2}}}`)}, tokenizer.Options{})
	if err == nil {
		defer t.Close()
		var e tokenizer.Encoding
		if e, err = t.Encode("graft", tokenizer.EncodeOptions{}); err == nil && len(e.IDs) != 2 {
			err = fmt.Errorf("\"graft\" became %d tokens, want 2", len(e.IDs))
		}
	}
	return f.with(err)
}

func checkTorch() finding {
	f := finding{Part: "libtorch (training)"}
	v, err := torch.Version()
	f.Version = v
	if err == nil {
		err = torch.SelfTest()
	}
	return f.with(err)
}

func (f finding) with(err error) finding {
	f.OK = err == nil
	if err != nil {
		f.Problem = err.Error()
	}
	return f
}

// checkApart runs the provider's self-test in a process of its own: a process opens one ONNX
// Runtime library, and a broken driver may take the process down.
func checkApart(ctx context.Context, p ort.Provider) finding {
	f := finding{Part: "provider " + p.Name, Needed: p.Name == "cpu"}
	if missing := p.Missing(); len(missing) > 0 {
		return f.with(errors.Join(missing...))
	}
	self, err := os.Executable()
	if err != nil {
		return f.with(err)
	}
	out, err := exec.CommandContext(ctx, self, "doctor", "--provider="+p.Name).CombinedOutput()
	if err != nil {
		return f.with(fmt.Errorf("%s (%w)", strings.TrimSpace(string(out)), err))
	}
	f.Version, f.Path, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return f.with(nil)
}

func checkProvider(name string, w io.Writer) error {
	p, err := ort.ProviderNamed(name)
	if err != nil {
		return err
	}
	if err := p.SelfTest(); err != nil {
		return err
	}
	_, path, v, _ := ort.Loaded()
	fmt.Fprintln(w, v, filepath.Clean(path))
	return nil
}
