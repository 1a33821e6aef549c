// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package elsewhere

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/images"
	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
)

// kindName is the name of the cluster among kind's.
const kindName = "millrace"

// Kind is a cluster that kind runs in Docker.
type Kind struct {
	File    string // where its kubeconfig goes
	Repo    string // the checkout the images are built from
	Console *console.Console
}

// Up makes the cluster, unless there is one.
func (k Kind) Up(ctx context.Context, asked options.Options) error {
	if option, asks := asked.Asks(); asks {
		return fmt.Errorf("%s is for the local cluster, not for CLUSTER=kind", option)
	}
	for _, program := range []string{"docker", "kind"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("CLUSTER=kind needs %s: %w", program, err)
		}
	}
	exists, err := k.exists(ctx)
	if err != nil {
		return err
	}
	if exists {
		return command.Run(ctx, "kind", "export", "kubeconfig", "--name", kindName, "--kubeconfig", k.File)
	}
	return k.Console.Step("Making a cluster with kind", func() error {
		return command.Run(ctx, "kind", "create", "cluster", "--name", kindName, "--kubeconfig", k.File, "--wait", "2m")
	})
}

// Down removes the cluster.
func (k Kind) Down(ctx context.Context) error {
	return command.Run(ctx, "kind", "delete", "cluster", "--name", kindName, "--kubeconfig", k.File)
}

// Status says whether there is one.
func (k Kind) Status(ctx context.Context, out io.Writer) (bool, error) {
	exists, err := k.exists(ctx)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(out, "kind cluster %s: %s\n", kindName, map[bool]string{true: "made", false: "absent"}[exists])
	return exists, nil
}

func (k Kind) exists(ctx context.Context) (bool, error) {
	names, err := command.Feed(ctx, "", "kind", "get", "clusters")
	return slices.Contains(strings.Fields(names), kindName), err
}

// Load builds an image with Docker and gives it to the cluster's nodes. Its name has a tag of its content.
func (k Kind) Load(ctx context.Context, name string) (string, error) {
	recipe, err := images.RecipeOf(k.Repo, name)
	if err != nil {
		return "", err
	}
	err = k.Console.Step("Building image "+name, func() error {
		return command.Run(ctx, "docker", "build", "--tag", recipe.Name, "--file", recipe.Dockerfile, recipe.Context)
	})
	if err != nil {
		return "", err
	}
	id, err := command.Feed(ctx, "", "docker", "image", "inspect", "--format", "{{.Id}}", recipe.Name)
	if err != nil {
		return "", err
	}
	unique := recipe.Name + "-" + strings.TrimPrefix(strings.TrimSpace(id), "sha256:")[:12]
	if err := command.Run(ctx, "docker", "tag", recipe.Name, unique); err != nil {
		return "", err
	}
	return unique, command.Run(ctx, "kind", "load", "docker-image", "--name", kindName, recipe.Name, unique)
}

// Kubeconfig is the file kind wrote.
func (k Kind) Kubeconfig() string { return k.File }
