// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
)

// Load builds an image, when the cache has none of its content, and gives it to the node. It returns a name that is
// unique to its content; the node knows it by the name manifests have as well.
func (c *Cluster) Load(ctx context.Context, name string) (string, error) {
	built, err := c.images.Ensure(ctx, name)
	if err != nil {
		return "", err
	}
	note := c.paths.InState("images", name)
	if has, err := os.ReadFile(note); err == nil && string(has) == built.Unique {
		return built.Unique, nil
	}
	err = c.console.Step("Loading image "+name, func() error {
		if err := c.ctr(ctx, "images", "import", built.Archive); err != nil {
			return err
		}
		return c.ctr(ctx, "images", "tag", "--force", built.Name, built.Unique)
	})
	if err != nil {
		return "", fmt.Errorf("loading image %s: %w", name, err)
	}
	return built.Unique, writeFile(note, built.Unique)
}

func (c *Cluster) ctr(ctx context.Context, args ...string) error {
	program, err := c.binaries.Path(ctx, "ctr")
	if err != nil {
		return err
	}
	at := []string{"--address", c.paths.InState("run", "containerd.sock"), "--namespace", "k8s.io"}
	return command.Run(ctx, program, append(at, args...)...)
}

// installAddons applies what every cluster has beyond Kubernetes itself, and waits until the node takes pods and the
// names of Services resolve.
func (c *Cluster) installAddons(ctx context.Context) error {
	for _, name := range []string{"pause", "coredns"} {
		loaded, err := c.Load(ctx, name)
		if err != nil {
			return err
		}
		if name == "coredns" {
			c.settings.CoreDNSImage = loaded
		}
	}
	texts, err := c.renderAddons()
	if err != nil {
		return err
	}
	if err := c.applyChanged(ctx, "addons", strings.Join(texts, "\n---\n")); err != nil {
		return fmt.Errorf("installing the add-ons: %w", err)
	}
	return c.awaitAddons(ctx)
}

func (c *Cluster) renderAddons() ([]string, error) {
	c.settings.ConfigHash = "" // of everything but itself
	bare, err := render("addons/coredns.yaml", c.settings)
	if err != nil {
		return nil, err
	}
	c.settings.ConfigHash = hashOf(bare)
	var texts []string
	for _, name := range []string{"addons/coredns.yaml", "addons/storage.yaml"} {
		text, err := render(name, c.settings)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// applyChanged applies manifests unless the very same were applied last.
func (c *Cluster) applyChanged(ctx context.Context, what, manifests string) error {
	note := c.note(what)
	if has, err := os.ReadFile(note); err == nil && string(has) == manifests {
		return nil
	}
	// A new API server may still be making its own roles and namespaces.
	err := eventually(ctx, readiness, func() error {
		return c.kubectl(ctx, manifests, "apply", "--server-side", "--force-conflicts", "-f", "-")
	})
	if err != nil {
		return err
	}
	return writeFile(note, manifests)
}

// note keeps what was applied last.
func (c *Cluster) note(what string) string { return c.paths.InState("applied", what) }

// applied is true when something was applied, and not removed since.
func (c *Cluster) applied(what string) bool {
	_, err := os.Stat(c.note(what))
	return err == nil
}

func (c *Cluster) kubectl(ctx context.Context, input string, args ...string) error {
	program, err := c.binaries.Path(ctx, "kubectl")
	if err != nil {
		return err
	}
	at := []string{"--kubeconfig", c.paths.Kubeconfig(), "--cache-dir", filepath.Join(c.paths.State, "kubectl-cache")}
	_, err = command.Feed(ctx, input, program, append(at, args...)...)
	return err
}

func (c *Cluster) awaitAddons(ctx context.Context) error {
	client, err := newClient(c.settings.PKI)
	if err != nil {
		return err
	}
	ready := []probe{
		conditionProbe("/api/v1/nodes/"+nodeName, "Ready"),
		conditionProbe("/apis/apps/v1/namespaces/kube-system/deployments/coredns", "Available"),
		func(context.Context, *http.Client) error { return policiesEnforced() },
	}
	for _, p := range ready {
		if p(ctx, client) == nil {
			continue
		}
		err := c.console.Step("Waiting for the node", func() error {
			return eventually(ctx, 3*time.Minute, func() error { return p(ctx, client) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}
