// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"slices"
	"strings"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
)

// hints are remedies the API server does not name, by what its message has in it.
var hints = []struct{ has, remedy string }{
	{`must be of type string: "number"`, "write it in quotes"},
	{`must be of type string: "integer"`, "write it in quotes"},
	{`must be of type string: "boolean"`, "write it in quotes: YAML takes words such as yes, no, on, off and y for truth values"},
	{`must be of type integer: "string"`, "write it without quotes"},
	{`must be of type boolean: "string"`, "write true or false without quotes"},
	{`must be of type date-time`, "write a time in RFC 3339, such as 2027-01-31T00:00:00Z"},
	{`numkMGTPE`, "write a quantity, such as 2, 500m or 4Gi"},
}

// remedied is a message with the remedy for what it says, where there is one.
func remedied(message string) string {
	for _, h := range hints {
		if strings.Contains(message, h.has) {
			return message + "; " + h.remedy
		}
	}
	return message
}

// near finds the field that one the schema does not know is probably meant to be: it has the same letters, or more or fewer at its end.
func (d *definition) near(path string) string {
	at, all := d.structural, steps(path)
	if at == nil || len(all) == 0 {
		return ""
	}
	for _, step := range all[:len(all)-1] {
		next, known := at.Properties[step]
		switch {
		case known:
			at = &next
		case at.Items != nil:
			at = at.Items
		default:
			return ""
		}
	}
	return alike(all[len(all)-1], at.Properties)
}

func alike(name string, known map[string]structuralschema.Structural) string {
	letters := func(word string) string {
		all := []byte(strings.ToLower(word))
		slices.Sort(all)
		return string(all)
	}
	var found []string
	for k := range known {
		starts := min(len(k), len(name)) >= 4 && (strings.HasPrefix(k, name) || strings.HasPrefix(name, k))
		if starts || letters(k) == letters(name) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.Min(found)
}
