package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/lines"
)

// Source is one file of training data.
type Source struct {
	Path     string
	Lines    int  // that hold a row
	Rows     int  // that are used: Lines, or the limit where there is one
	OwnGroup bool // its rows take negatives from their own group alone: the file or its folder is named so
	sum      [32]byte
}

// ownGroupSuffix marks the name of a file, or of a folder of files, whose rows take negatives from their own group
// alone. It is FlagEmbedding's convention, for data in which other rows' passages are likely positives.
const ownGroupSuffix = "no_in_batch_neg"

// extensions of the files that are read from a folder. A file that is named itself may have any.
var (
	extensions     = []string{".jsonl", ".json", ".jsonl.gz", ".json.gz"}
	textExtensions = []string{".txt", ".txt.gz"} // where rows may be texts alone
)

// hasExtension says whether a path ends in one of the extensions.
func hasExtension(path string, extensions []string) bool {
	return slices.ContainsFunc(extensions, func(ext string) bool { return strings.HasSuffix(path, ext) })
}

// isText says whether each line of a file is a text.
func isText(path string) bool { return hasExtension(path, textExtensions) }

// findSources lists the files of paths: files as they are, folders by their data files in the order of their names.
func findSources(paths []string, texts bool) ([]Source, error) {
	wanted := extensions
	if texts {
		wanted = slices.Concat(extensions, textExtensions)
	}
	if len(paths) == 0 {
		return nil, errors.New("no training data is named")
	}
	var sources []Source
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, lines.In(path, err)
		}
		if !info.IsDir() {
			sources = append(sources, Source{Path: path, OwnGroup: ownGroup(path)})
			continue
		}
		files, err := dataFiles(path, wanted)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			sources = append(sources, Source{Path: file, OwnGroup: ownGroup(path) || ownGroup(file)})
		}
	}
	return sources, nil
}

// dataFiles are the data files in a folder, not in folders below it.
func dataFiles(dir string, extensions []string) ([]string, error) {
	entries, err := os.ReadDir(dir) // in the order of names
	if err != nil {
		return nil, lines.In(dir, err)
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !hasExtension(path, extensions) {
			continue
		}
		if info, err := os.Stat(path); err != nil { // through links, as data folders have them
			return nil, lines.In(path, err)
		} else if !info.IsDir() {
			files = append(files, path)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%q has no file that ends in %s", dir, strings.Join(extensions, ", "))
	}
	return files, nil
}

// ownGroup says whether a path's name, extensions aside, has the suffix.
func ownGroup(path string) bool {
	name, _, _ := strings.Cut(filepath.Base(filepath.Clean(path)), ".")
	return strings.HasSuffix(name, ownGroupSuffix)
}
