// A client of Gatehouse's control plane in Go: lists routes, applies a trust store, watches events.
//
//	GATEHOUSE_SOCKET=/run/gatehouse/control.sock ./example routes
//	GATEHOUSE_SOCKET=/run/gatehouse/control.sock ./example trust partners ca.pem
//	GATEHOUSE_SOCKET=/run/gatehouse/control.sock ./example watch 5
//
// README.md beside this tells how it is built, and how a control plane at another machine is spoken to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"

	pb "gatehouse/v1"
)

// Debian's gRPC is older than the API of its protobuf, whose messages need this codec.
type codec struct{}

func (codec) Marshal(v interface{}) ([]byte, error)      { return proto.Marshal(v.(proto.Message)) }
func (codec) Unmarshal(data []byte, v interface{}) error { return proto.Unmarshal(data, v.(proto.Message)) }
func (codec) Name() string                               { return "proto" }

const config = "/gatehouse.v1.ConfigService/"

func connect() (*grpc.ClientConn, error) {
	socket := os.Getenv("GATEHOUSE_SOCKET")
	if socket == "" {
		return nil, errors.New("GATEHOUSE_SOCKET: the control plane's socket")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// The kernel tells the server who calls at its socket: there is no TLS.
	return grpc.DialContext(ctx, "unix:"+socket, grpc.WithInsecure(), grpc.WithBlock())
}

func routes(conn *grpc.ClientConn) error {
	token := ""
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		page := &pb.ListResponse{}
		err := conn.Invoke(ctx, config+"List", &pb.ListRequest{Kind: pb.Kind_ROUTE, PageToken: token}, page)
		cancel()
		if err != nil {
			return err
		}
		for _, resource := range page.Resources {
			route := resource.GetRoute()
			fmt.Printf("%q  %q\n", route.GetName(), route.GetMatch().GetPath())
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}

// One Apply of one message: it is all or nothing, and returns once every connected gateway has it in force.
func applyTrust(conn *grpc.ClientConn, name, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(pem), "BEGIN CERTIFICATE") || strings.Contains(string(pem), "PRIVATE KEY") {
		return fmt.Errorf("%s: certificates in PEM are expected, and no key", file)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "Apply", ClientStreams: true}, config+"Apply")
	if err != nil {
		return err
	}
	request := &pb.ApplyRequest{
		Options: &pb.ApplyOptions{Messages: 1, Message: "from the Go example", Wait: &pb.WaitOptions{Wait: true}},
		Resources: &pb.ConfigSet{TrustStores: []*pb.TrustStore{
			{Name: name, Anchors: []*pb.Pem{{Pem: string(pem)}}},
		}},
	}
	// io.EOF: it was refused already, and RecvMsg says why.
	if err := stream.SendMsg(request); err != nil && err != io.EOF {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	answer := &pb.ApplyResponse{}
	if err := stream.RecvMsg(answer); err != nil {
		return err
	}
	fmt.Printf("revision %d, %d changes, in force on %d of %d gateways\n", answer.Revision, len(answer.Changes),
		answer.GetForce().GetInForce(), answer.GetForce().GetGateways())
	return nil
}

func watch(conn *grpc.ClientConn, count int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "Watch", ServerStreams: true}, "/gatehouse.v1.EventService/Watch")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&pb.WatchRequest{}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	// The header comes once the server has subscribed us: events from then on are not missed.
	if _, err := stream.Header(); err != nil {
		return err
	}
	fmt.Println("watching")
	for count > 0 {
		batch := &pb.WatchResponse{}
		if err := stream.RecvMsg(batch); err != nil {
			return err
		}
		for _, event := range batch.Events {
			// %q: paths and names in certificates are strangers' text, and no terminal should act upon it.
			fmt.Printf("%s %s %s %q\n", event.GetType(), event.GetOutcome(), event.GetReason(), event.GetDetail())
			count--
		}
	}
	return nil
}

func run(arguments []string) error {
	encoding.RegisterCodec(codec{})
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	switch {
	case len(arguments) == 1 && arguments[0] == "routes":
		return routes(conn)
	case len(arguments) == 3 && arguments[0] == "trust":
		return applyTrust(conn, arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "watch":
		count, err := strconv.Atoi(arguments[1])
		if err != nil {
			return err
		}
		return watch(conn, count)
	}
	return errors.New("routes | trust NAME FILE | watch COUNT")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %q\n", err.Error())
		os.Exit(1)
	}
}
