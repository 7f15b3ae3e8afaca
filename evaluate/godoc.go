package evaluate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// goFunction is an exported function or method of the standard library.
type goFunction struct {
	Package string // import path
	Name    string // "Reader.Read" for a method
	Source  string // signature and body, without the comment
	Query   string // the comment's first sentence without the leading name; "" where there is none
}

// GoRoot returns the folder of the Go installation, by asking the go command.
func GoRoot(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, "go", "env", "GOROOT")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("find the Go installation: no go command on the path; godoc is made of Go's own sources")
	}
	if err != nil {
		return "", fmt.Errorf("find the Go installation: go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// leftOut are package trees of machine-made or repeated functions: thousands of vector
// operations with one-line comments, and the system calls of each platform.
var leftOut = []string{"simd", "syscall"}

// readGoFunctions reads the standard library as it is built on linux/amd64, whatever the
// machine, so that one Go version gives one data set. Internal and vendored packages,
// commands and tests are left out.
func readGoFunctions(goroot string) ([]goFunction, error) {
	src := filepath.Join(goroot, "src")
	target := build.Default
	target.GOOS, target.GOARCH, target.CgoEnabled = "linux", "amd64", true
	target.BuildTags, target.ToolTags = nil, nil
	var functions []goFunction
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		pkg := filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(path, src), string(filepath.Separator)))
		if skipPackage(pkg) {
			return fs.SkipDir
		}
		found, err := readPackage(&target, path, pkg)
		functions = append(functions, found...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read Go sources: %w", err)
	}
	if len(functions) == 0 {
		return nil, fmt.Errorf("read Go sources: %q has no exported functions", src)
	}
	slices.SortFunc(functions, func(a, b goFunction) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Name, b.Name))
	})
	return functions, nil
}

func skipPackage(pkg string) bool {
	parts := strings.Split(pkg, "/")
	return pkg != "" && (parts[0] == "cmd" || slices.Contains(leftOut, parts[0]) ||
		slices.ContainsFunc(parts, func(p string) bool { return p == "internal" || p == "vendor" || p == "testdata" }))
}

// readPackage reads the functions of the files of one folder that the target builds.
func readPackage(target *build.Context, dir, pkg string) ([]goFunction, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var functions []goFunction
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if built, err := target.MatchFile(dir, name); err != nil || !built {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if file.Name.Name == "main" {
			continue
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			g, ok, err := describe(files, f)
			if err != nil {
				return nil, err
			}
			if ok {
				g.Package = pkg
				functions = append(functions, g)
			}
		}
	}
	return functions, nil
}

// describe makes document and query of a function; ok is false where it or its receiver is
// not exported, or where it has no body.
func describe(files *token.FileSet, f *ast.FuncDecl) (g goFunction, ok bool, err error) {
	name := f.Name.Name
	if !f.Name.IsExported() || f.Body == nil {
		return g, false, nil
	}
	if f.Recv != nil {
		receiver := receiverType(f.Recv)
		if !ast.IsExported(receiver) {
			return g, false, nil
		}
		name = receiver + "." + name
	}
	query := firstSentence(f.Doc.Text(), f.Name.Name)
	f.Doc = nil
	var source bytes.Buffer
	if err := format.Node(&source, files, f); err != nil {
		return g, false, err
	}
	return goFunction{Name: name, Source: source.String(), Query: query}, true, nil
}

// receiverType is the name of a method's type, without pointer and type parameters.
func receiverType(fields *ast.FieldList) string {
	t := fields.List[0].Type
	for {
		switch e := t.(type) {
		case *ast.StarExpr:
			t = e.X
		case *ast.ParenExpr:
			t = e.X
		case *ast.IndexExpr:
			t = e.X
		case *ast.IndexListExpr:
			t = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// firstSentence is the synopsis of a comment without the leading name, which would give
// the answer away; empty where less than two words remain.
func firstSentence(comment, name string) string {
	sentence := new(doc.Package).Synopsis(comment)
	rest, ok := strings.CutPrefix(sentence, name)
	if next, _ := utf8.DecodeRuneInString(rest); ok && !unicode.IsLetter(next) && !unicode.IsDigit(next) {
		sentence = strings.TrimLeft(rest, " ,.:")
	}
	if len(strings.Fields(sentence)) < 2 {
		return ""
	}
	return sentence
}

// inTest splits packages by a hash of their path: about a quarter is test.
func inTest(pkg string) bool { return stableHash("split", pkg)%4 == 0 }

// stableHash is the same on every machine and in every version.
func stableHash(parts ...string) uint64 {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return binary.BigEndian.Uint64(sum[:])
}
