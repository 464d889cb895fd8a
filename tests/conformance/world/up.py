# SPDX-License-Identifier: Apache-2.0
# Raw echo upstream: answers JSON with exactly what arrived. usage: up.py PORT... ; TLS ports as s8443
import os,socket,sys,threading,json,time,ssl,base64,hashlib
def rd(s,buf,n):
    while len(buf)<n:
        d=s.recv(65536)
        if not d: return buf,False
        buf+=d
    return buf,True
def serve(s,port,ctx,tls):
    try:
        s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)
        if tls: s=ctx.wrap_socket(s,server_side=True)
        s.settimeout(400)
        buf=b'';seq=0
        while 1:
            while b'\r\n\r\n' not in buf:
                d=s.recv(65536)
                if not d: return
                buf+=d
                if len(buf)>4e6: return
            hd,buf=buf.split(b'\r\n\r\n',1)
            seq+=1
            lines=hd.decode('latin1').split('\r\n')
            hs=[[x.partition(':')[0],x.partition(':')[2].strip()] for x in lines[1:]]
            low={k.lower():v for k,v in hs}
            parts=lines[0].split(' ')
            m=parts[0];p=parts[1] if len(parts)>1 else ''
            body=b'';rawbody=b''
            if p.startswith('/e100') and 'expect' in low: s.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
            if 'chunked' in low.get('transfer-encoding','').lower():
                while 1:
                    while b'\r\n' not in buf:
                        d=s.recv(65536)
                        if not d: return
                        buf+=d
                    ln,buf=buf.split(b'\r\n',1); rawbody+=ln+b'\r\n'
                    n=int(ln.split(b';')[0].strip() or b'0',16)
                    if n==0:
                        while 1:
                            while b'\r\n' not in buf:
                                d=s.recv(65536)
                                if not d: return
                                buf+=d
                            ln,buf=buf.split(b'\r\n',1); rawbody+=ln+b'\r\n'
                            if not ln: break
                        break
                    buf,ok=rd(s,buf,n+2)
                    if not ok: return
                    body+=buf[:n];rawbody+=buf[:n+2];buf=buf[n+2:]
            else:
                n=int(low.get('content-length') or 0)
                buf,ok=rd(s,buf,n)
                body=buf[:n];buf=buf[n:];rawbody=body
            if p.startswith('/slow/'): time.sleep(float(p.split('/')[2]))
            if p=='/sse':
                s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
                for i in range(4):
                    d=('data: %d %.3f\n\n'%(i,time.time())).encode(); s.sendall(b'%x\r\n%s\r\n'%(len(d),d)); time.sleep(.5)
                s.sendall(b'0\r\n\r\n'); continue
            if p.startswith('/stall/'):   # headers + half a body, pause, rest
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345'); time.sleep(n); s.sendall(b'67890'); continue
            if p.startswith('/eofbody/'):  # no framing: close-delimited, with pause
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nfirst'); time.sleep(n); s.sendall(b'second'); return
            if p.startswith('/eofclose/'):
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nfirst'); time.sleep(n); s.sendall(b'second'); return
            if p.startswith('/eof10/'):
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nfirst'); time.sleep(n); s.sendall(b'second'); return
            if p.startswith('/eofsplit/'):
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n'); time.sleep(n); s.sendall(b'all'); return
            if p.startswith('/slowhdr/'):
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.1 200 OK\r\nContent-Le'); time.sleep(n); s.sendall(b'ngth: 2\r\n\r\nok'); continue
            if p.startswith('/sseslow/'):
                n=float(p.split('/')[2]); s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata1\r\n'); time.sleep(n); s.sendall(b'5\r\ndata2\r\n0\r\n\r\n'); continue
            if p.startswith('/ssepart/'):
                s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\na\r\n01234'); time.sleep(1); s.sendall(b'56789\r\n0\r\n\r\n'); continue
            if p.startswith('/resp/'):
                k=p.split('/')[2]
                R={'dupcl':b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc',
                   'clte':b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
                   'garbage':b'NOT HTTP AT ALL\r\n\r\n','close':b'',
                   '204':b'HTTP/1.1 204 No Content\r\n\r\n','304':b'HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n',
                   '500':b'HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nX-Up: 1\r\n\r\noops',
                   'hop':b'HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\nUpgrade: h2c\r\nServer: s\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
                   'http10':b'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
                   'trailers':b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2;ext=1\r\nok\r\n0\r\nX-T: v\r\n\r\n',
                   'bighdr':b'HTTP/1.1 200 OK\r\nX-Big: '+b'a'*20000+b'\r\nContent-Length: 2\r\n\r\nok',
                   '100':b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
                   '103':b'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
                   '101':b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n',
                   'barelf':b'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
                   'extra':b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRABYTES',
                   }.get(k,b'HTTP/1.1 404 NF\r\nContent-Length: 0\r\n\r\n')
                if R: s.sendall(R)
                if k in ('close','garbage','hop','http10','barelf'): return
                continue
            if low.get('upgrade','').lower()=='websocket' and p.startswith('/ws'):
                acc=base64.b64encode(hashlib.sha1((low.get('sec-websocket-key','')+'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()).decode()
                s.sendall(('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n'%acc).encode())
                s.sendall(b'\x81\x05hello')
                while 1:
                    d=s.recv(65536)
                    if not d: return
                    s.sendall(b'\x81'+bytes([min(125,len(d))])+d[:125])
            out=json.dumps({'up':1,'port':port,'line':lines[0],'m':m,'p':p,'h':hs,'len':len(body),'body':body[:300].decode('latin1'),'rawbody':rawbody[:300].decode('latin1') if rawbody!=body else None,'seq':seq,'local':s.getsockname()[0],'leftover':buf[:200].decode('latin1')}).encode()
            s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Up: 1\r\nContent-Length: %d\r\n\r\n'%len(out)+(b'' if m=='HEAD' else out))
            if low.get('connection','').lower()=='close': return
    except Exception as e: pass
    finally:
        try: s.close()
        except Exception: pass
def main():
    ctx=None
    for a in sys.argv[1:]:
        tls=a.startswith('s'); port=int(a.lstrip('s'))
        if tls and not ctx:
            ctx=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain(os.path.join(os.path.dirname(os.path.abspath(__file__)),'run','srv.pem'))
        l=socket.socket(socket.AF_INET6); l.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,0); l.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
        l.bind(('::',port)); l.listen(256)
        def loop(l=l,port=port,tls=tls):
            while 1:
                c,_=l.accept(); threading.Thread(target=serve,args=(c,port,ctx,tls),daemon=True).start()
        threading.Thread(target=loop,daemon=True).start()
    while 1: time.sleep(3600)
main()
