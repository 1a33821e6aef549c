// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"fmt"
	"path/filepath"
)

// image is an ordinary Dockerfile and what it is built from.
type image struct {
	dockerfile string   // below the checkout
	context    string   // directory below the checkout whose files the Dockerfile copies, if any
	files      []string // of the context; all regular files when empty
	programs   []string // of the binary cache, beside the files of the context
	parent     string   // the image it starts FROM, none for scratch
}

// base is the one image that is not built from a Dockerfile alone: mmdebstrap makes its file system.
const base = "base"

// repository of an image on the cluster; the base has the name Dockerfiles know it by everywhere.
func repository(name string) string {
	if name == base {
		return "docker.io/library/debian"
	}
	return "docker.io/millrace/" + name
}

// tag by which manifests name an image.
func tag(name string) string {
	if name == base {
		return "bookworm-slim"
	}
	return "dev"
}

// table is every image this repository builds.
var table = map[string]image{
	base:             {dockerfile: "hack/images/base/Dockerfile"},
	"pause":          {dockerfile: "hack/images/pause/Dockerfile", programs: []string{"pause"}},
	"coredns":        {dockerfile: "hack/images/coredns/Dockerfile", programs: []string{"coredns"}},
	"manager":        {dockerfile: "Dockerfile", context: ".", files: []string{"bin/manager", "bin/launcher"}},
	"mariadb":        {dockerfile: "hack/images/mariadb/Dockerfile", context: "hack/images/mariadb", parent: base},
	"mpi":            {dockerfile: "hack/images/mpi/Dockerfile", context: "hack/images/mpi", parent: base},
	"notebook":       {dockerfile: "hack/images/notebook/Dockerfile", programs: []string{"kubectl"}, parent: base},
	"peers":          {dockerfile: "hack/images/peers/Dockerfile", context: ".", files: []string{"bin/peers"}},
	"pytorch-digits": {dockerfile: "hack/images/pytorch-digits/Dockerfile", context: "hack/images/pytorch-digits", parent: base},
}

// Recipe is what a container engine builds an image from.
type Recipe struct{ Dockerfile, Context, Name string }

// RecipeOf is the recipe of an image. Only images made of nothing but files of the checkout have one.
func RecipeOf(repo, name string) (Recipe, error) {
	i, ok := table[name]
	if !ok || i.context == "" {
		return Recipe{}, fmt.Errorf("no image %q to build with a container engine", name)
	}
	return Recipe{
		Dockerfile: filepath.Join(repo, i.dockerfile), Context: filepath.Join(repo, i.context),
		Name: repository(name) + ":" + tag(name),
	}, nil
}
