// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"bytes"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Document is one document of the output.
type Document struct {
	Remarks []Remark
	// Content is the object.
	Content map[string]any
	// Text is the document itself where it is left as it was.
	Text []byte
}

// Write writes documents as YAML, each under its remarks.
func Write(documents []Document) ([]byte, error) {
	var out bytes.Buffer
	for i, d := range documents {
		if i > 0 {
			out.WriteString("---\n")
		}
		for _, r := range d.Remarks {
			fmt.Fprintf(&out, "# %s\n", r)
		}
		text := d.Text
		if text == nil {
			var err error
			if text, err = yaml.Marshal(d.Content); err != nil {
				return nil, fmt.Errorf("writing YAML: %w", err)
			}
		}
		out.Write(bytes.TrimSpace(text))
		out.WriteString("\n")
	}
	return out.Bytes(), nil
}
