package convert

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// datasetFile are the files of rows and the description of a data set of the hub.
var datasetFile = regexp.MustCompile(`(^|/)(README\.md|[^/]+\.(parquet|(jsonl|tsv)(\.gz)?))$`)

// FetchDataset returns the folder in the cache of a data set, org/name at a branch or commit, after
// downloading what it lacks: its description and all its rows.
func (h *Hub) FetchDataset(ctx context.Context, repo, rev string) (string, error) {
	if !repoName.MatchString(repo) || !revision.MatchString(rev) {
		return "", fmt.Errorf("%q at %q is not a data set's name and revision", repo, rev)
	}
	c := h.repo(ctx, datasetKind, repo)
	if h.Offline {
		if dir := c.snapshot(rev); exists(dir) {
			return dir, nil
		}
		return "", fmt.Errorf("data set %q is not in the cache %s, and HF_HUB_OFFLINE is set", repo, h.CacheDir)
	}
	dir, err := c.downloadRows(rev)
	if err != nil {
		return "", fmt.Errorf("fetch data set %q from %s: %w", repo, h.endpoint(), err)
	}
	return dir, nil
}

func (c *hubRepo) downloadRows(rev string) (string, error) {
	sha, names, err := c.list(rev)
	if err != nil {
		return "", err
	}
	files := slices.DeleteFunc(names, func(name string) bool { return !datasetFile.MatchString(name) })
	if len(files) == 0 {
		return "", errors.New("the repository holds no rows in .parquet, .jsonl or .tsv")
	}
	return c.place(rev, sha, files)
}
