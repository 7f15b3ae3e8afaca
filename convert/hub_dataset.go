package convert

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
)

// datasetFile are the files of rows and the description of a data set of the hub.
var datasetFile = regexp.MustCompile(`(^|/)(README\.md|[^/]+\.(parquet|(jsonl|tsv)(\.gz)?))$`)

// FetchDataset returns the folder in the cache of a data set, org/name at a branch or commit, after
// downloading what it lacks: the files that are named, else its description and all its rows. The folder has the name of the commit.
func (h *Hub) FetchDataset(ctx context.Context, repo, rev string, files ...string) (string, error) {
	if !repoName.MatchString(repo) || !revision.MatchString(rev) {
		return "", fmt.Errorf("%q at %q is not a data set's name and revision", repo, rev)
	}
	c := h.repo(ctx, datasetKind, repo)
	if h.Offline {
		dir := c.snapshot(rev)
		if exists(dir) && !slices.ContainsFunc(files, func(name string) bool { return !exists(filepath.Join(dir, filepath.FromSlash(name))) }) {
			return dir, nil
		}
		return "", fmt.Errorf("data set %q is not in the cache %s, and HF_HUB_OFFLINE is set", repo, h.CacheDir)
	}
	dir, err := c.downloadRows(rev, files)
	if err != nil {
		return "", fmt.Errorf("fetch data set %q from %s: %w", repo, h.endpoint(), err)
	}
	return dir, nil
}

func (c *hubRepo) downloadRows(rev string, files []string) (string, error) {
	sha, names, err := c.list(rev)
	if err != nil {
		return "", err
	}
	for _, name := range files {
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("the repository has no file %s", name)
		}
	}
	if len(files) == 0 {
		files = slices.DeleteFunc(names, func(name string) bool { return !datasetFile.MatchString(name) })
	}
	if len(files) == 0 {
		return "", errors.New("the repository holds no rows in .parquet, .jsonl or .tsv")
	}
	return c.place(rev, sha, files)
}
