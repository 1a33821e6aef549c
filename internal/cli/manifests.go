// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/millrace-ml/millrace/internal/offline"
)

// stdin is how messages call what comes through a pipe.
const stdin = "<stdin>"

// source is the manifests that -f names.
type source struct {
	files []string
	// deep is true when the directories below a directory count.
	deep bool
}

// addFiles adds the -f flag.
func (s *source) addFiles(c *cobra.Command) {
	c.Flags().StringSliceVarP(&s.files, "filename", "f", nil, "file or directory of manifests, or - for standard input; may be repeated")
}

// read reads every file that -f names, in order.
func (s *source) read(in io.Reader) ([]offline.Document, error) {
	var documents []offline.Document
	for _, name := range s.files {
		found, err := s.readOne(in, name)
		if err != nil {
			return nil, err
		}
		documents = append(documents, found...)
	}
	return documents, nil
}

func (s *source) readOne(in io.Reader, name string) ([]offline.Document, error) {
	if name == "-" {
		text, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		return offline.Split(stdin, text), nil
	}
	files, err := s.manifests(name)
	if err != nil {
		return nil, err
	}
	var documents []offline.Document
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, plain(err)
		}
		documents = append(documents, offline.Split(file, text)...)
	}
	return documents, nil
}

// manifests lists the manifests of a directory: its .yaml, .yml and .json files, by name, and those below only where that
// is asked for, as kubectl does. Anything else is a file.
func (s *source) manifests(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, plain(err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != name && !s.deep {
			return fs.SkipDir
		}
		if !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, plain(err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no .yaml, .yml or .json file", name)
	}
	return files, nil
}

// plain words an error of the file system without the system call.
func plain(err error) error {
	if found := (*fs.PathError)(nil); errors.As(err, &found) {
		return fmt.Errorf("%s: %w", found.Path, found.Err)
	}
	return err
}
