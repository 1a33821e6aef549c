// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place knows on which line of a file each field of a document stands.
type place struct {
	root *yaml.Node
	// first is the line of the file the document begins on.
	first int
}

// newPlace reads the lines of a document; of one that cannot be read it knows the first only.
func newPlace(d Document) place {
	var node yaml.Node
	if err := yaml.Unmarshal(d.Text, &node); err != nil || len(node.Content) == 0 {
		return place{first: d.Line}
	}
	return place{root: node.Content[0], first: d.Line}
}

// item is the place of a list's item.
func (p place) item(i int) place {
	if node := child(child(p.root, "items"), strconv.Itoa(i)); node != nil {
		p.root = node
	}
	return p
}

// line is the line of a field such as spec.roles[0].replicas, or of the nearest field around it that is there.
func (p place) line(path string) int {
	if p.root == nil {
		return p.first
	}
	at, line := p.root, p.root.Line
	for _, step := range steps(path) {
		next := child(at, step)
		if next == nil {
			break
		}
		at, line = next, keyLine(at, step, next)
	}
	return p.first - 1 + line
}

// has is true when the field is in the document.
func (p place) has(path string) bool {
	at := p.root
	for _, step := range steps(path) {
		if at = child(at, step); at == nil {
			return false
		}
	}
	return at != p.root
}

// steps takes a field path apart: spec.roles[0].labels[a.b/c] is spec, roles, 0, labels, a.b/c.
func steps(path string) []string {
	var found []string
	for len(path) > 0 {
		end := strings.IndexAny(path, ".[")
		if path[0] == '[' {
			end = strings.IndexByte(path, ']')
			if end < 0 {
				return found
			}
			found, path = append(found, path[1:end]), path[end+1:]
			continue
		}
		if end < 0 {
			return append(found, path)
		}
		if end > 0 {
			found = append(found, path[:end])
		}
		path = strings.TrimPrefix(path[end:], ".")
	}
	return found
}

// child is the value of a key or index, or the item of that name, or nil.
func child(node *yaml.Node, step string) *yaml.Node {
	if node == nil {
		return nil
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode {
		i, err := strconv.Atoi(step)
		if err != nil {
			i = slices.IndexFunc(node.Content, func(item *yaml.Node) bool {
				name := child(item, "name")
				return name != nil && name.Value == step
			})
		}
		if i < 0 || i >= len(node.Content) {
			return nil
		}
		return node.Content[i]
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == step {
			return node.Content[i+1]
		}
	}
	return nil
}

// keyLine is the line of the key that led to a value: a value may begin a line below.
func keyLine(parent *yaml.Node, step string, value *yaml.Node) int {
	if parent.Kind == yaml.AliasNode {
		parent = parent.Alias
	}
	for i := 0; parent.Kind == yaml.MappingNode && i+1 < len(parent.Content); i += 2 {
		if parent.Content[i].Value == step {
			return parent.Content[i].Line
		}
	}
	return value.Line
}
