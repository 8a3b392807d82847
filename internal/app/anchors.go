package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"caos"
	"caos/internal/anchor"
)

// openAnchors opens the places that checkpoints go to besides the published file. Without any
// in the configuration, what was anchored can still be read.
func (a *App) openAnchors() (err error) {
	o := anchor.Options{DB: a.db, Log: a.log, Stamps: a.stamps, Alerts: a.alerts, Events: a.events, Locations: a.locations, Chain: a.chain,
		Now: a.now, Logger: a.logger, Node: a.node.Name}
	if a.chain != nil && a.chain.Configured() {
		o.Registry, o.Why = a.chain, a.whyEnded
	}
	if a.cfg.Anchors != nil {
		if o.Settings, err = a.cfg.anchorSettings(); err != nil {
			return err
		}
	}
	a.anchors, err = anchor.Open(o)
	return err
}

// whyEnded tells with which error an execution ended.
func (a *App) whyEnded(ctx context.Context, executionID string) (over bool, failure *caos.Error, err error) {
	x, err := a.engine.Get(ctx, executionID)
	if err != nil {
		return false, nil, err
	}
	return x.Status.Final(), x.Error, nil
}

// anchorSettings are the configuration as package anchor wants it.
func (c Config) anchorSettings() (anchor.Settings, error) {
	from := c.Anchors.filled()
	s := anchor.Settings{Chain: from.Chain, Files: from.Files, S3: from.S3, Quorum: from.Quorum}
	var err error
	if s.Every, err = time.ParseDuration(from.Every); err != nil {
		return s, fmt.Errorf("anchors.every: %w", err)
	}
	if s.Retain, err = time.ParseDuration(from.Retain); err != nil {
		return s, fmt.Errorf("anchors.retain: %w", err)
	}
	for i, t := range from.Timestamps {
		path := t.Certificate
		if !filepath.IsAbs(path) {
			path = c.path(path)
		}
		pem, err := os.ReadFile(path)
		if err != nil {
			return s, caos.Wrap(caos.Invalid, err, "the certificate of the time-stamp server cannot be read from %s", path).WithField(fmt.Sprintf("anchors.timestamps[%d].certificate", i))
		}
		s.Timestamps = append(s.Timestamps, anchor.Timestamp{URL: t.URL, Certificate: pem})
	}
	for _, w := range from.Witnesses {
		s.Witnesses = append(s.Witnesses, anchor.Witness(w))
	}
	return s, nil
}

// startAnchors anchors by schedule until the node stops.
func (a *App) startAnchors(run context.Context) {
	var working sync.WaitGroup
	run, cancel := context.WithCancel(run)
	working.Go(func() { a.anchors.Run(run) })
	a.onStop("anchors", func(context.Context) error { cancel(); working.Wait(); return nil })
}
