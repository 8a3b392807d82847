package httpapi

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server is how the API meets the network: TLS 1.3 alone, and limits on everything that a
// client could take its time with.
type Server struct {
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // asked at each handshake, so that it may be renewed
	Handler     http.Handler
	Log         *slog.Logger
}

// The limits. Answers have WriteTimeout from the end of the headers, which must exceed
// maxWait; streams extend theirs as they go. Bodies have limits of their own: body.go.
const (
	headerTime  = 10 * time.Second
	idleTime    = 120 * time.Second
	answerTime  = 90 * time.Second
	headerBytes = 64 << 10
)

// Config returns the server, not yet listening. Call ServeTLS(listener, "", "").
func (s Server) Config() *http.Server {
	logger := s.Log
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		WriteTimeout:      answerTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          log.New(quiet{logger}, "", 0),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: s.Certificate,
			NextProtos:     []string{"h2", "http/1.1"},
		},
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 128, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10},
	}
}

// Serve serves on the listener until ctx ends, then lets requests finish: after half of
// grace their contexts end, after all of it their connections. A Handler with a Drain
// method is told first.
func (s Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	srv := s.Config()
	streams, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv.BaseContext = func(net.Listener) context.Context { return streams }
	srv.RegisterOnShutdown(func() { time.AfterFunc(grace/2, stop) })
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if d, ok := s.Handler.(interface{ Drain() }); ok {
		d.Drain()
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(ending); err != nil {
		return srv.Close()
	}
	return nil
}

// quiet is where net/http tells of clients that did not get as far as a request: broken
// handshakes, mostly.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.log.Debug("connection", "detail", string(p))
	return len(p), nil
}
