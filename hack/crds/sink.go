// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// sink moves each rule of a template that has a fieldPath, such as .spec.containers[].image, to the schema of that path: self is
// the value there, and an object without the field costs nothing. An API server copies the whole schema of a struct for each
// field that a rule reads of it, and that of a pod is large: four rules that looked into it from above took more
// of its time than all other rules of a job.
func sink(template *schema) error {
	rules := template.XValidations
	template.XValidations = nil
	for _, rule := range rules {
		path := rule.FieldPath
		rule.FieldPath = ""
		found := descend(template, steps(path), func(s *schema) { s.XValidations = append(s.XValidations, rule) })
		if !found {
			return fmt.Errorf("the rule %q is about %s, which a template does not have", rule.Rule, path)
		}
	}
	return nil
}

// item is the step to the items of a list.
const item = "[]"

func steps(path string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(path, item, "."+item), func(r rune) bool { return r == '.' })
}

// descend calls visit with the schema at the end of the path, and stores what it did to it.
func descend(s *schema, path []string, visit func(*schema)) bool {
	if len(path) == 0 {
		visit(s)
		return true
	}
	if path[0] == item {
		return s.Items != nil && s.Items.Schema != nil && descend(s.Items.Schema, path[1:], visit)
	}
	child, ok := s.Properties[path[0]]
	if !ok || !descend(&child, path[1:], visit) {
		return false
	}
	s.Properties[path[0]] = child
	return true
}
