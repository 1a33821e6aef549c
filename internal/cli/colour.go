// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// The colours of a terminal, by their ANSI codes. Those of replicas are told apart on dark and light grounds alike.
const (
	red    = 31
	green  = 32
	yellow = 33
	blue   = 34
	faint  = 2
	bold   = 1
)

var replicaColours = []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

// painter colours text, or leaves it alone.
type painter bool

func (p painter) paint(colour int, text string) string {
	if !p || text == "" || colour == 0 {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

// phaseColours is the colour of each phase; one not listed has none.
var phaseColours = map[string]int{
	v1alpha1.PhaseSucceeded:  green,
	v1alpha1.PhaseFailed:     red,
	v1alpha1.PhaseRejected:   red,
	v1alpha1.PhaseRestarting: yellow,
	v1alpha1.PhaseSuspended:  faint,
	v1alpha1.PhaseRunning:    blue,
}

func (p painter) phase(phase string) string { return p.paint(phaseColours[phase], phase) }

// cells paints the cells of columns that hold a phase.
func (p painter) cells(column, cell string) string {
	if slices.Contains([]string{"PHASE", "STATUS"}, column) {
		return p.phase(cell)
	}
	return cell
}
