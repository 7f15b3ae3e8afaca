package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// dataHash identifies training data by the bytes of its files, wherever they lie: "sha256:" and a digest.
func dataHash(paths []string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			entries, err := os.ReadDir(path) // in the order of names
			if err != nil {
				return "", fmt.Errorf("read training data: %w", err)
			}
			files = files[:0]
			for _, e := range entries {
				if !e.IsDir() {
					files = append(files, filepath.Join(path, e.Name()))
				}
			}
		}
		for _, file := range files {
			if err := hashFile(h, file); err != nil {
				return "", fmt.Errorf("read training data: %w", err)
			}
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}
