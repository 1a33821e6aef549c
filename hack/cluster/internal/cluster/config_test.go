// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

func TestEveryTemplateRenders(t *testing.T) {
	s := detect(paths.Paths{State: "/state"})
	s.ForwardDNS = true
	err := fs.WalkDir(templates, "templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel("templates", path)
		data := any(s)
		switch name {
		case "config/kubeconfig":
			data = struct{ User, Server, CA, Certificate, Key string }{}
		case "addons/gpus.yaml":
			data = gpuNode{Name: nodeName, Count: 4}
		case "kwok/node.yaml":
			data = simulatedNode(0)
		}
		text, err := render(name, data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(text, "<<") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: not everything is filled in:\n%s", name, text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyResolversOutsideTheMachineAreForwardedTo(t *testing.T) {
	for want, s := range map[bool]settings{true: {ForwardDNS: true}, false: {}} {
		text, err := render("addons/coredns.yaml", s)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text, "forward ."); got != want {
			t.Errorf("with a resolver: %t, the Corefile forwards: %t", want, got)
		}
	}
}

func TestComponents(t *testing.T) {
	c := &Cluster{paths: paths.Paths{State: "/state"}, settings: settings{PKI: "/state/pki"}}
	rendered := []string{}
	for _, file := range configs {
		rendered = append(rendered, file)
	}
	var last wave
	for _, comp := range c.components() {
		if comp.wave < last {
			t.Errorf("%s is listed behind a later wave: down stops in the order of the list", comp.name)
		}
		last = comp.wave
		for _, file := range comp.config {
			if !slices.Contains(rendered, file) {
				t.Errorf("%s reads %s, which no template makes", comp.name, file)
			}
		}
		for _, argument := range comp.args {
			if strings.HasSuffix(argument, "=") || argument == "" {
				t.Errorf("%s: empty argument %q", comp.name, argument)
			}
		}
	}
}
