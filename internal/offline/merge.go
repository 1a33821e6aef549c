// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	strict "sigs.k8s.io/yaml"
)

// toJSON reads YAML strictly: a key that is set twice is an error. The strict reader takes a key for such a one that is in
// a mapping and in what the mapping merges by <<, where YAML lets the mapping's own win: such a document is read again
// with its merges written out.
func toJSON(text []byte) ([]byte, error) {
	out, complaint := strict.YAMLToJSONStrict(text)
	if complaint == nil {
		return out, nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil || !merges(&root) {
		return nil, complaint
	}
	if twice := repeated(&root); len(twice) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(twice, "\n"))
	}
	if err := root.Decode(new(any)); err != nil {
		return nil, complaint // such as an anchor that contains itself, which cannot be written out
	}
	writeOut(&root)
	plain, err := yaml.Marshal(&root)
	if err != nil {
		return nil, complaint
	}
	if out, err = strict.YAMLToJSONStrict(plain); err != nil {
		return nil, complaint
	}
	return out, nil
}

func isMerge(key *yaml.Node) bool { return key.ShortTag() == "!!merge" }

// merges is true when a mapping of the document merges another.
func merges(n *yaml.Node) bool {
	for i, below := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && isMerge(below) || merges(below) {
			return true
		}
	}
	return false
}

// repeated tells of every key that a mapping itself has twice.
func repeated(n *yaml.Node) []string {
	var found []string
	seen := map[string]bool{}
	for i, below := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && below.Kind == yaml.ScalarNode {
			id := below.ShortTag() + below.Value
			if seen[id] {
				found = append(found, fmt.Sprintf("line %d: key %q already set in map", below.Line, below.Value))
			}
			seen[id] = true
		}
		found = append(found, repeated(below)...)
	}
	return found
}

// writeOut replaces the merges of a mapping, and of all below it, by the keys they bring and the mapping has not.
func writeOut(n *yaml.Node) {
	for _, below := range n.Content {
		writeOut(below)
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	var sources []*yaml.Node
	var own []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			sources = append(sources, n.Content[i+1])
			continue
		}
		own = append(own, n.Content[i], n.Content[i+1])
	}
	n.Content = own
	for _, source := range sources {
		bring(n, source)
	}
}

// bring adds the keys of a merged mapping, or of a list of them, to those that a mapping has.
func bring(n, source *yaml.Node) {
	if source.Kind == yaml.AliasNode {
		source = source.Alias
	}
	if source.Kind == yaml.SequenceNode {
		for _, one := range source.Content {
			bring(n, one)
		}
		return
	}
	for i := 0; source.Kind == yaml.MappingNode && i+1 < len(source.Content); i += 2 {
		if child(n, source.Content[i].Value) == nil {
			n.Content = append(n.Content, source.Content[i], source.Content[i+1])
		}
	}
}
